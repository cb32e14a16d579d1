from marketplace.models.dirty_mark import DirtyMark
from marketplace.models.instance import Instance, InstanceEvent
from marketplace.models.keys import ApiKey, SshKey
from marketplace.models.offer import Offer
from marketplace.models.user import User

__all__ = ["ApiKey", "DirtyMark", "Instance", "InstanceEvent", "Offer", "SshKey", "User"]
