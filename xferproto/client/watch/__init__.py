"""The former place of L{xferproto.watch}, for one more minor version."""
