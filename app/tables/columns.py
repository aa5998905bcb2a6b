"""Column kinds that several tables share."""

from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, func
from sqlalchemy.orm import mapped_column


def choice(values: type[StrEnum]) -> Enum:
    """A text column that a check constraint holds to the enum's values."""
    name = "".join("_" + letter.lower() if letter.isupper() else letter for letter in values.__name__).lstrip("_")
    return Enum(
        values,
        native_enum=False,
        length=40,
        name=name,
        create_constraint=True,
        values_callable=lambda enum: [member.value for member in enum],
    )


def stamped() -> Any:
    """When the row was written, by the database's clock."""
    return mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
