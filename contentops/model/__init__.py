"""The glossary in code: every frozen type that passes between stages.

Stages hand these on and never change them; what a word means here, it means in the command line, the docs
and the messages. Nothing here touches clock, disk, network or environment.
"""

from contentops.model.desired import (
    CREDITS,
    Catalog,
    Definitions,
    Desired,
    Moved,
    OnEdit,
    Origin,
    Request,
    Spec,
    Template,
    TemplateInput,
)
from contentops.model.names import ItemId, Json, RequestId
from contentops.model.plan import Action, Change, Note, Plan, Reason, Refusal, Step
from contentops.model.project import ApiSettings, Budget, Guards, Project
from contentops.model.records import Count, JobState, Observed, OpenEntry, Record, Saved, State
from contentops.model.run import Event, Outcome, Result, Run

__all__ = [
    "CREDITS",
    "Action",
    "ApiSettings",
    "Budget",
    "Catalog",
    "Change",
    "Count",
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
