"""What a journey is and how participants go through it. Pure: standard library only, time and chance come from outside."""
