"""What a kind of object is: its path, ids, fields on the way in, what it starts with, how it is searched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from illumio_azsql_enforcer.sandbox.pce.shapes import (
    EXTERNAL,
    OPTIONAL_TEXT,
    TEXT,
    Check,
    record,
)

Words = tuple[str, ...]
NAMED: dict[str, Check] = {"name": TEXT, "description": OPTIONAL_TEXT, **EXTERNAL}
STAMPED: dict[str, object] = {"external_data_set": None, "external_data_reference": None}


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection of the REST API."""

    collection: str  # last part of its path
    noun: str  # in event types and in `resource_changes`
    versioned: bool = False  # has a draft, which must be provisioned
    ids: Literal["number", "uuid"] = "number"
    fields: Mapping[str, Check] = field(default_factory=dict)  # what POST and PUT take
    required: Words = ()  # of them, what POST needs
    fixed: Words = ()  # of them, what PUT does not take
    defaults: Mapping[str, object] = field(default_factory=dict)
    partial: Words = ()  # query parameters that find a part of the text
    exact: Words = ()  # query parameters that compare the whole value
    unique: Words = ()  # fields that no two living objects share
    taken: str = "name_must_be_unique"  # the error token when they would
    writable: bool = True

    @property
    def create(self) -> Check:
        """The shape of a POST body."""
        return record(self.fields, required=self.required)

    @property
    def change(self) -> Check:
        """The shape of a PUT body."""
        return record({name: check for name, check in self.fields.items() if name not in self.fixed})
