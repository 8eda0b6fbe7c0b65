"""The base of every model in this package."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, refuses unknown fields and NaN or infinite numbers.

    A change is a copy: ``model.model_copy(update={...})``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def compact(self) -> dict:
        """As plain JSON types, with the fields that are ``None`` left out."""
        return self.model_dump(mode="json", exclude_none=True)
