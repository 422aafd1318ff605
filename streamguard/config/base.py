"""What every section of the configuration shares."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

Key = tuple[str | int, ...]
"""Where a setting is: names of sections, and positions in lists."""

Problem = tuple[Key, str]
"""A key, relative to the section that found the problem, and a sentence that follows the key's name."""

PROBLEMS = "streamguard_problems"


def refusal(problems: Sequence[Problem]) -> PydanticCustomError:
    """An error that carries several problems, since a validator can raise only one error."""
    return PydanticCustomError(PROBLEMS, "settings contradict each other", {"problems": problems})


class Section(BaseModel):
    """A mapping in the file. Keys are the file's; an attribute may add a unit (`after` is `after_ms`)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        # Aliases are how a file is read; names are for those who build a section in Python.
        validate_by_alias=True,
        validate_by_name=True,
        # An error that slips through unrewritten must not carry a password.
        hide_input_in_errors=True,
    )

    def problems(self) -> Iterable[Problem]:
        """What is wrong between this section's settings, each of them legal by itself."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        """Take null as no settings: so YAML reads a section in which all lines are commented out."""
        return {} if data is None else data

    @model_validator(mode="after")
    def _refuse_problems(self) -> Self:
        if problems := list(self.problems()):
            raise refusal(problems)
        return self
