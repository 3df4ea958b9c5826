"""The checker: decides from the outside whether an installation did what it promises.

It reads the database, what providers wrote down, and the event log, and believes nobody else: no code of a service is used.
Each law has the name it has in the reliability programme: O1 exactly one outcome, O2 conservation, O4 the order of truth,
O6 isolation, O7 liveness.
"""
