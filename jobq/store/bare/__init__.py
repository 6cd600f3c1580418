"""The bare loops that `jobq bench` compares with: what a queue costs that promises nothing.

They keep no index, store no lease, check no owner and survive no cut; they do the same work on the
same server with redis-py and hiredis, as fast as plain Python can.
"""
