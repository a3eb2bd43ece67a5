"""The glossary in code: every frozen type that passes between stages.

Stages hand these on and never change them; what a word means here, it means in the command line, the docs
and the messages. Nothing here touches clock, disk, network or environment.
"""

from contentops.model.catalog import Catalog, CatalogEntry, CatalogSnapshot, Template, TemplateInput
from contentops.model.desired import (
    CREDITS,
    Desired,
    Moved,
    OnEdit,
    Origin,
    Request,
    Spec,
)
from contentops.model.names import ItemId, Json, RequestId
from contentops.model.plan import Action, Change, Note, Plan, Reason, Refusal
from contentops.model.project import ApiSettings, Budget, Guards, Project
from contentops.model.records import Count, JobState, Observed, OpenEntry, Record, Saved, State
from contentops.model.run import Event, Outcome, Result, Run
from contentops.model.steps import (
    Acknowledge,
    Drain,
    Fetch,
    LookUp,
    Move,
    Poll,
    Remove,
    Save,
    Step,
    Submit,
    Update,
    Write,
    name_of,
)

__all__ = [
    "CREDITS",
    "Acknowledge",
    "Action",
    "ApiSettings",
    "Budget",
    "Catalog",
    "CatalogEntry",
    "CatalogSnapshot",
    "Change",
    "Count",
    "Desired",
    "Drain",
    "Event",
    "Fetch",
    "Guards",
    "ItemId",
    "JobState",
    "Json",
    "LookUp",
    "Move",
    "Moved",
    "Note",
    "Observed",
    "OnEdit",
    "OpenEntry",
    "Origin",
    "Outcome",
    "Plan",
    "Poll",
    "Project",
    "Reason",
    "Record",
    "Refusal",
    "Remove",
    "Request",
    "RequestId",
    "Result",
    "Run",
    "Save",
    "Saved",
    "Spec",
    "State",
    "Step",
    "Submit",
    "Template",
    "TemplateInput",
    "Update",
    "Write",
    "name_of",
]
