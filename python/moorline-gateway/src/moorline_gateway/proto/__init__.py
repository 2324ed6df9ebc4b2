"""The messages of `moorline.gateway.v1`, generated from its proto file by `generate.py`."""
