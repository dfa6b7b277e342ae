"""A valid response under the plan `everyday`, for tests that need any valid response."""

HONEST = """<thinking>
[VISUAL-SCAN]: objects=["cup"]; scene="kitchen"; hazard=none
[INTENT-RADAR]: intent="asks what there is"; text_risk=safe
[RISK-SCORER]: image_risk=safe; text_risk=safe; combined_risk=safe; category=none; score=0.05
[SAFETY-GATE]: decision=comply; reason="harmless"
</thinking>
<answer>
A cup.
</answer>"""
