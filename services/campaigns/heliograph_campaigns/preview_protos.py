"""Writes previews as the messages PreviewCampaign answers with."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.campaigns.v1 import campaigns_pb2
from heliograph_campaigns.previews import TreatmentPreview


def preview_to_proto(previews: Sequence[TreatmentPreview]) -> campaigns_pb2.PreviewCampaignResponse:
    """Write the previews of all treatments; their places are their ids."""
    return campaigns_pb2.PreviewCampaignResponse(
        treatments=[_treatment(str(number), preview) for number, preview in enumerate(previews)]
    )


def _treatment(treatment_id: str, preview: TreatmentPreview) -> campaigns_pb2.TreatmentPreview:
    return campaigns_pb2.TreatmentPreview(
        treatment_id=treatment_id,
        display_name=preview.display_name,
        sms_body=preview.sms_body,
        registration_check=campaigns_pb2.RegistrationCheck.Value(f"REGISTRATION_CHECK_{preview.check}"),
        use_cases=preview.use_cases,
        findings=[
            campaigns_pb2.PreviewFinding(
                use_case=finding.use_case,
                reason=finding.reason,
                serious=finding.serious,
                description=finding.description,
                excerpt=finding.excerpt,
            )
            for finding in preview.findings
        ],
    )
