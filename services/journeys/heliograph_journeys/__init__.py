"""The journeys service: journeys, their runs, and participants moved in sets."""
