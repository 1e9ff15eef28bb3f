"""Workflow of `gagjax fit --gagavatar`: the GAGAvatar network fine-tuned on one person's film."""

from gagjax.app.workflows.fine_tuning.run import RESULT, STATE, fine_tune

__all__ = ["RESULT", "STATE", "fine_tune"]
