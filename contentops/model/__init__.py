"""The glossary in code: every frozen type that passes between stages.

Stages hand these on and never change them; what a word means here, it means in the command line, the docs
and the messages. Nothing here touches clock, disk, network or environment.
"""

from contentops.model.catalog import Catalog, CatalogEntry, CatalogSnapshot, Template, TemplateInput
from contentops.model.desired import (
    CREDITS,
    Definitions,
    Desired,
    Moved,
    OnEdit,
    Origin,
    Request,
    Spec,
)
from contentops.model.names import ItemId, Json, RequestId
from contentops.model.plan import Action, Change, Note, Plan, Reason, Refusal, Step
from contentops.model.project import ApiSettings, Budget, Guards, Project
from contentops.model.records import JobState, Observed, OpenEntry, Record, Saved, State
from contentops.model.run import Event, Outcome, Result, Run

__all__ = [
    "CREDITS",
    "Action",
    "ApiSettings",
    "Budget",
    "Catalog",
    "CatalogEntry",
    "CatalogSnapshot",
    "Change",
    "Definitions",
    "Desired",
    "Event",
    "Guards",
    "ItemId",
    "JobState",
    "Json",
    "Moved",
    "Note",
    "Observed",
    "OnEdit",
    "OpenEntry",
    "Origin",
    "Outcome",
    "Plan",
    "Project",
    "Reason",
    "Record",
    "Refusal",
    "Request",
    "RequestId",
    "Result",
    "Run",
    "Saved",
    "Spec",
    "State",
    "Step",
    "Template",
    "TemplateInput",
]
