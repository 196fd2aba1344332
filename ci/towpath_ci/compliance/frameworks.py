"""The public frameworks that controls are mapped to: identifiers and short titles, never their text.

After NIST AI 100-1 (January 2023), Regulation (EU) 2024/1689 as published in the Official Journal on 12 July 2024, and
the AICPA's 2017 Trust Services Criteria with the points of focus of 2022. The short titles of NIST subcategories and
Trust Services Criteria are ours; articles carry their own.
"""

from dataclasses import dataclass
from typing import Final

NIST: Final = "NIST AI RMF 1.0"
AI_ACT: Final = "EU AI Act"
SOC2: Final = "SOC 2 (TSC 2017)"
FRAMEWORKS: Final = (NIST, AI_ACT, SOC2)


@dataclass(frozen=True)
class Citation:
    """One provision of one framework."""

    framework: str
    id: str
    title: str

    def __str__(self) -> str:
        """Name it as auditors do."""
        return f"{self.framework} {self.id}"


_PROVISIONS: Final = {
    NIST: {
        "GOVERN 1.4": "transparent policies, procedures and controls",
        "GOVERN 1.6": "inventory of AI systems",
        "GOVERN 2.1": "roles and responsibilities are documented",
        "MAP 2.3": "scientific integrity and test considerations",
        "MAP 3.5": "processes for human oversight",
        "MEASURE 2.1": "test sets, metrics and tools are documented",
        "MEASURE 2.3": "performance is measured and demonstrated",
        "MEASURE 2.4": "functionality is monitored in production",
        "MEASURE 2.5": "shown to be valid and reliable before deployment",
        "MEASURE 2.7": "security and resilience",
        "MEASURE 2.8": "transparency and accountability",
        "MANAGE 1.1": "decision whether deployment should proceed",
        "MANAGE 2.3": "response to and recovery from unknown risks",
        "MANAGE 2.4": "mechanisms to supersede, disengage or deactivate",
        "MANAGE 4.1": "post-deployment monitoring and change management",
        "MANAGE 4.3": "incidents are tracked and recovered from",
    },
    AI_ACT: {
        "Art. 9": "Risk management system",
        "Art. 10": "Data and data governance",
        "Art. 11": "Technical documentation",
        "Art. 12": "Record-keeping",
        "Art. 14": "Human oversight",
        "Art. 15": "Accuracy, robustness and cybersecurity",
        "Art. 17": "Quality management system",
        "Art. 18": "Documentation keeping",
        "Art. 19": "Automatically generated logs",
        "Art. 20": "Corrective actions and duty of information",
        "Art. 26": "Obligations of deployers of high-risk AI systems",
        "Art. 72": "Post-market monitoring by providers",
    },
    SOC2: {
        "CC2.1": "relevant, quality information",
        "CC5.3": "policies and procedures",
        "CC6.1": "logical access security",
        "CC6.3": "least privilege and segregation of duties",
        "CC6.8": "unauthorized or malicious software",
        "CC7.2": "monitoring for anomalies",
        "CC7.4": "response to incidents",
        "CC7.5": "recovery from incidents",
        "CC8.1": "changes are authorized, tested and approved",
    },
}


def cite(framework: str, *ids: str) -> tuple[Citation, ...]:
    """Return citations of a framework; an identifier that is not in its table is a KeyError, so a misprint is found."""
    return tuple(Citation(framework, each, _PROVISIONS[framework][each]) for each in ids)
