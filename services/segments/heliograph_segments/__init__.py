"""The segments service: endpoints, users, segments, imports and the audiences made from them."""
