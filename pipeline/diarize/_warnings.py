"""What a diarizer tells beside its turns."""

from __future__ import annotations

from schemas.options import DiarizeOptions
from schemas.report import Warning_


def no_speech() -> Warning_:
    """Nobody speaks."""
    return Warning_(code="no_speech", message="No speech was found, so there are no speakers.")


def count_warnings(found: int, options: DiarizeOptions) -> tuple[Warning_, ...]:
    """Whether the number of speakers that was ``found`` is what was asked for."""
    if found == 0:
        return (no_speech(),)
    least = options.num_speakers or options.min_speakers or 1
    most = options.num_speakers or options.max_speakers or found
    if least <= found <= most:
        return ()
    bound = f"at least {least}" if found < least else f"at most {most}"
    message = (
        f"Asked for {options.num_speakers or bound} speakers, found {found}: there is too little speech of a "
        "single voice at a time to divide it that way. Without a number the count is estimated."
    )
    return (Warning_(code="speaker_limit", message=message),)


def forced(by_itself: int) -> Warning_:
    """Asked for another number of speakers than VBx found."""
    return Warning_(
        code="speakers_forced",
        message=f"The clustering found {by_itself} speakers by itself. The number asked for was met by k-means, "
        "which is much worse than its own clustering: ask only for a number that you know.",
    )
