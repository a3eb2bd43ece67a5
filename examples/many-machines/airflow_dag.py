"""Applies a project as mapped tasks of Airflow 3, each with its part of the items; each pushes what it has made.

The variables `CONTENTOPS_REPOSITORY`, `CONTENTOPS_FOLDER`, `CONTENTOPS_LEDGER` and `WRITERZROOM_API_KEY` are those of
the Airflow workers. Put `apply.sh` beside this file.
"""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SHARDS = 4
SCRIPT = shlex.quote(str(Path(__file__).with_name("apply.sh")))

with DAG("contentops", schedule=None, max_active_runs=1):
    BashOperator.partial(
        task_id="apply",
        bash_command=f'exec sh {SCRIPT} "$CONTENTOPS_REPOSITORY" "$CONTENTOPS_FOLDER/$SHARD" "$SHARD/{SHARDS}"',
        append_env=True,
        # Another try pays for nothing twice, and goes on with what others have pushed meanwhile.
        retries=4,
        retry_delay=dt.timedelta(minutes=1),
        retry_exponential_backoff=True,
        execution_timeout=dt.timedelta(hours=1),
    ).expand(env=[{"SHARD": str(number)} for number in range(1, SHARDS + 1)])
