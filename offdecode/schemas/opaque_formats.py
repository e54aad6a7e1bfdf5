"""Which free-form reading fits which opaque bytes: by the group's protocol type, or by its assignor."""

from __future__ import annotations

from collections.abc import Mapping

from offdecode.schemas.connect_protocol import CONNECT_ASSIGNMENT, CONNECT_METADATA
from offdecode.schemas.layout import OpaqueFormat
from offdecode.schemas.sticky_assignor import COOPERATIVE_STICKY, STICKY
from offdecode.schemas.streams_protocol import STREAMS_ASSIGNMENT, STREAMS_SUBSCRIPTION

# A member's metadata and assignment, by protocol type.
METADATA: Mapping[str, OpaqueFormat] = {"connect": CONNECT_METADATA}
ASSIGNMENT: Mapping[str, OpaqueFormat] = {"connect": CONNECT_ASSIGNMENT}

# The user data of a ConsumerProtocol subscription and assignment, by assignor.
SUBSCRIPTION_USER_DATA: Mapping[str, OpaqueFormat] = {
    "sticky": STICKY,
    "cooperative-sticky": COOPERATIVE_STICKY,
    "stream": STREAMS_SUBSCRIPTION,
}
ASSIGNMENT_USER_DATA: Mapping[str, OpaqueFormat] = {
    "sticky": STICKY,  # Sarama hands its members what they are to send back as they join
    "stream": STREAMS_ASSIGNMENT,
}
