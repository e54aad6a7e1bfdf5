"""What the sticky assignors tell themselves in a member's user data: partitions held before, and their generation.

Source: StickyAssignor and CooperativeStickyAssignor of kafka-clients (KIP-54, KIP-341, KIP-429). No version stands
in the bytes: a layout is theirs if it fits to the last byte.
"""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Field, Layout, OpaqueFormat, Struct
from offdecode.schemas.types import Int32, String

_GENERATION = "generation in which the member got its partitions; -1 = none"

STICKY_USER_DATA = Layout("StickyAssignorUserData", versions="0-1", flexible="none", fields=(
    Field("previous_assignment", ArrayOf(Struct("TopicAssignment", (
        Field("topic", String, "0+", "topic name"),
        Field("partitions", ArrayOf(Int32), "0+", "partitions of that topic"),
    ))), "0+", "partitions that the member held before"),
    Field("generation", Int32, "1+", _GENERATION),
), doc="""Partitions that a member of a sticky group held as it joined. Upstream's version 1 came with Kafka 2.3;
the versions are names only, the bytes do not tell them.""")

COOPERATIVE_STICKY_USER_DATA = Layout("CooperativeStickyAssignorUserData", versions="0", flexible="none", fields=(
    Field("generation", Int32, "0+", _GENERATION),
), doc="""The generation alone, since Kafka 2.8.1 (KAFKA-12984): the subscription's owned partitions
say the rest.""")

STICKY = OpaqueFormat("sticky", (STICKY_USER_DATA,))

# librdkafka and franz-go write the sticky assignor's user data under the cooperative one's name too.
COOPERATIVE_STICKY = OpaqueFormat("cooperative-sticky", (COOPERATIVE_STICKY_USER_DATA, STICKY_USER_DATA))
