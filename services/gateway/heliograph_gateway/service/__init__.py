"""Use cases of the edge: keys of links, events that wait to be handed over, and what messaging is asked."""
