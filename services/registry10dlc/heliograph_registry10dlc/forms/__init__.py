"""What must be told about a brand, a use case and a toll-free number (pinpoint-2 4.2, 4.5, 4.10): forms as data. Pure.

Attachments (opt-in screenshots, files of terms, samples of MMS) are not supported: no form has a field for one.
"""

from heliograph_registry10dlc.forms.amending import amended, locked
from heliograph_registry10dlc.forms.checking import check
from heliograph_registry10dlc.forms.data import FORM_VERSION, FORMS, STANDARD_USE_CASES
from heliograph_registry10dlc.forms.form import Choice, Condition, Field, FieldType, Form, Lock, Section
from heliograph_registry10dlc.forms.warnings import Warn, warnings

__all__ = [
    "FORMS",
    "FORM_VERSION",
    "STANDARD_USE_CASES",
    "Choice",
    "Condition",
    "Field",
    "FieldType",
    "Form",
    "Lock",
    "Section",
    "Warn",
    "amended",
    "check",
    "locked",
    "warnings",
]
