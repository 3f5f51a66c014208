"""The base of all records of an evaluation: frozen values that go to JSON and come back."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from zeroscene.errors import DataFormatError

Selection = Literal["honest", "defaults", "test-oracle"]


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any, where: str = "record") -> Self:
        """Return the record that `to_json` wrote.

        Args:
            value: the JSON value.
            where: the file it was read from, for the message.

        Raises:
            DataFormatError: a field is missing, unknown or of another type; the first is named.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "it"
            raise DataFormatError(f"{where} is not a {cls.__name__}: {field}: {first['msg']}") from error
