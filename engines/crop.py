"""Pictures around a signer's nose."""

SHOULDER_WIDTHS = 3.2
"""Side of a crop, in widths of the shoulders: hands at the waist, above the head and at arm's length beside it are in."""
