"""Images to segments: batches of the offsets topic out of any bytes, in the order of the logs that they were of.

`carve` looks through images, `judge` tells whose a batch is, `runs` which batches lie together, `continuations` puts
together what lies in two places, `placing` gives each batch its log, `writing` writes the segments.
"""
