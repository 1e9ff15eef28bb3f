"""Fine-tune GAGAvatar on one person's film: the encoder frozen, heads and decoder trained with the published objective."""

from bridge.gagavatar.fine_tuning.files import write
from bridge.gagavatar.fine_tuning.perception import Perception, perception_of
from bridge.gagavatar.fine_tuning.shots import Shots
from bridge.gagavatar.fine_tuning.training import FineTuning, Settings

__all__ = ["FineTuning", "Perception", "Settings", "Shots", "perception_of", "write"]
