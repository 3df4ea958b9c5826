"""What the registrar says to Telnyx's 10DLC, toll-free and number APIs, and how it understands the answers.

Names of fields, states and paths are those of version 2 of Telnyx's API as its OpenAPI descriptions had them in August 2026
(Telnyx 10DLC Brands, Campaigns and Campaign Builder API 2.0.0, Toll-free Verification API 2.0.0; telnyx-python 4.176.0 is made
from them), events those of its page "10DLC event notifications" of that time.
"""
