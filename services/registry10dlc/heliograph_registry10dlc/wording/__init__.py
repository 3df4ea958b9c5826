"""What can be read out of the text of a message: links, phone numbers, names, phrases, likeness. Pure.

Shared by the checks of forms (pinpoint-2 4.5) and of contents before a send. The words are data, in `data/wording`.
"""
