"""Every error that a user or an agent can meet, each with a code, a cause and a next step.

::

    TranscriptionError
    ├── InputError                      the request or the recording is at fault: change it
    │   ├── InvalidArgument             invalid_argument
    │   ├── FileNotReadable             file_not_found, access_denied, not_a_file, file_unreadable, file_changed
    │   ├── MediaError                  not_media, no_audio_stream, empty_audio, truncated_media,
    │   │                               protected_media, audio_too_long
    │   ├── InvalidTranscript           invalid_transcript
    │   └── VoiceNotUsable              voice_not_usable
    ├── NotFound                        job_not_found, transcript_not_found, voice_not_found, invalid_cursor
    ├── SetupError                      the installation is at fault: install or fetch something
    │   ├── ModelNotFound               model_not_found, model_not_downloaded, model_damaged
    │   ├── DownloadFailed              download_failed
    │   └── BackendUnavailable          backend_unavailable
    ├── StageFailed                     stage_failed, out_of_memory
    │   └── FailedToAlign               failed_to_align
    ├── OutputFailed                    output_failed
    └── JobError                        worker_died, job_cancelled, queue_full, store_failed, internal_error
"""

from __future__ import annotations

from typing import Any, ClassVar

CODES: dict[str, str] = {
    "invalid_argument": "An argument is misspelt, of the wrong type or out of range.",
    "file_not_found": "There is no file at that path, or it lies outside the allowed folders.",
    "access_denied": "The operating system refuses to open the file.",
    "not_a_file": "The path names a folder, a pipe or a device instead of a regular file.",
    "file_unreadable": "Reading the file failed half way.",
    "file_changed": "The file was replaced between the check and the opening.",
    "not_media": "The file is not a recording in any format that FFmpeg knows.",
    "no_audio_stream": "The file is media, but has no sound track.",
    "empty_audio": "The sound track holds no samples.",
    "truncated_media": "The file breaks off before its audio can be read.",
    "protected_media": "The recording is encrypted (DRM).",
    "audio_too_long": "The recording is longer than the limit.",
    "invalid_transcript": "The transcript handed in is not in a form that can be read.",
    "voice_not_usable": "The voice is too short, mixed or of another embedding model, and cannot be enrolled.",
    "job_not_found": "No job has that id.",
    "transcript_not_found": "No transcript has that id.",
    "voice_not_found": "No voice of that id or name is remembered.",
    "invalid_cursor": "The cursor does not belong to this transcript.",
    "model_not_found": "No model has that name, and no folder lies at that path.",
    "model_not_downloaded": "The model is known, but its weights are not on this machine.",
    "model_damaged": "The model's files are incomplete or do not have the expected checksum.",
    "download_failed": "Fetching a model's files failed.",
    "backend_unavailable": "The backend asked for is not installed or does not run on this machine.",
    "stage_failed": "A stage of the pipeline failed.",
    "out_of_memory": "The machine ran out of memory.",
    "failed_to_align": "The words could not be placed on the clock.",
    "output_failed": "The result could not be written to the folder asked for.",
    "worker_died": "The process that runs the models ended unexpectedly.",
    "job_cancelled": "The job was cancelled.",
    "queue_full": "Too many jobs are waiting.",
    "store_failed": "The server's own database or folder cannot be read or written.",
    "internal_error": "A defect of this program.",
}


class TranscriptionError(Exception):
    """The root of the tree: ``code``, ``message`` (the cause), ``hint`` (the next step).

    Messages never hold what was said in a recording.
    """

    default_code: ClassVar[str] = "internal_error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}")
        self.message = message
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable

    def to_dict(self) -> dict[str, Any]:
        """The error as it crosses a pipe or reaches a client; see :func:`from_dict`."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable, "hint": self.hint}


class InputError(TranscriptionError):
    default_code = "invalid_argument"


class InvalidArgument(InputError):
    default_code = "invalid_argument"


class FileNotReadable(InputError):
    default_code = "file_not_found"


class MediaError(InputError):
    default_code = "not_media"


class InvalidTranscript(InputError):
    default_code = "invalid_transcript"


class VoiceNotUsable(InputError):
    default_code = "voice_not_usable"


class NotFound(TranscriptionError):
    default_code = "transcript_not_found"


class SetupError(TranscriptionError):
    default_code = "backend_unavailable"


class ModelNotFound(SetupError):
    default_code = "model_not_found"


class DownloadFailed(SetupError):
    default_code = "download_failed"
    retryable = True


class BackendUnavailable(SetupError):
    default_code = "backend_unavailable"


class StageFailed(TranscriptionError):
    default_code = "stage_failed"


class FailedToAlign(StageFailed):
    default_code = "failed_to_align"


class OutputFailed(TranscriptionError):
    default_code = "output_failed"


class JobError(TranscriptionError):
    default_code = "internal_error"


def from_dict(error: dict[str, Any]) -> TranscriptionError:
    """The error that :meth:`TranscriptionError.to_dict` wrote down, with its class found by its code."""
    kind = _CLASS_OF_CODE.get(error["code"], TranscriptionError)
    return kind(
        error["message"], code=error["code"], hint=error.get("hint"), retryable=error.get("retryable")
    )


_CLASS_OF_CODE: dict[str, type[TranscriptionError]] = {
    **dict.fromkeys(("invalid_argument",), InvalidArgument),
    **dict.fromkeys(
        ("file_not_found", "access_denied", "not_a_file", "file_unreadable", "file_changed"), FileNotReadable
    ),
    **dict.fromkeys(
        (
            "not_media",
            "no_audio_stream",
            "empty_audio",
            "truncated_media",
            "protected_media",
            "audio_too_long",
        ),
        MediaError,
    ),
    "invalid_transcript": InvalidTranscript,
    "voice_not_usable": VoiceNotUsable,
    **dict.fromkeys(("job_not_found", "transcript_not_found", "voice_not_found", "invalid_cursor"), NotFound),
    **dict.fromkeys(("model_not_found", "model_not_downloaded", "model_damaged"), ModelNotFound),
    "download_failed": DownloadFailed,
    "backend_unavailable": BackendUnavailable,
    **dict.fromkeys(("stage_failed", "out_of_memory"), StageFailed),
    "failed_to_align": FailedToAlign,
    "output_failed": OutputFailed,
    **dict.fromkeys(
        (
            "worker_died",
            "job_cancelled",
            "queue_full",
            "store_failed",
            "internal_error",
        ),
        JobError,
    ),
}
