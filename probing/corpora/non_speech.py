"""Labels of pauses, noises and unknown words, which are neither phonemes nor words: one list for both.

A layout declares its list as `NON_SPEECH`; the user adds labels to it and takes labels from it (`--non-speech`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from lvm_probe.probing.corpora.corpus import Segment, Utterance
from lvm_probe.probing.corpora.intake import Row
from lvm_probe.probing.corpora.phones import SILENCE, SILENCES, UNKNOWN

BRACKETS = ("<>", "[]", "{}")


@dataclass(frozen=True)
class NonSpeech:
    """The labels of a layout that are no speech, in lower case; they are compared in any case.

    Args:
        pauses: labels of pauses, and their names among `phones.SILENCES`.
        noises: labels of noises and unknown words.
        phone_noises: labels that are noises where a phone is expected, but may be words.
        brackets: pairs of `BRACKETS`; whatever is enclosed in one of them is a noise, unless it is among the pauses.
        speech: labels that are speech, whatever the other lists say.

    Example:
        >>> [ALIGNERS.name(label, is_phone=True) for label in ("<UNK>", "SIL", "s")]
        ['spn', 'h#', None]
        >>> ALIGNERS.changed(["beep", "-br"]).name("br", is_phone=False) is None
        True
    """

    pauses: Mapping[str, str]
    noises: frozenset[str] = frozenset()
    phone_noises: frozenset[str] = frozenset()
    brackets: frozenset[str] = frozenset()
    speech: frozenset[str] = frozenset()

    def name(self, label: str, *, is_phone: bool) -> str | None:
        """The name in `phones.NON_PHONEMES` of a label that is no speech; None if it is speech."""
        label = label.casefold()
        if label in self.speech:
            return None
        if label in self.pauses:
            return self.pauses[label]
        is_noise = label in self.noises or (is_phone and label in self.phone_noises)
        if is_noise or (len(label) > 1 and label[0] + label[-1] in self.brackets):
            return UNKNOWN
        return None

    def changed(self, labels: Iterable[str]) -> NonSpeech:
        """The list with more labels, less those that begin with `-`; `<>`, `[]`, `{}` stand for all in brackets."""
        changed = self
        for label in labels:
            removed, label = label.startswith("-"), label.removeprefix("-").casefold()
            if label in BRACKETS:
                brackets = changed.brackets - {label} if removed else changed.brackets | {label}
                changed = replace(changed, brackets=brackets)
            elif removed:
                changed = replace(changed, speech=changed.speech | {label})
            else:
                changed = replace(changed, noises=changed.noises | {label}, speech=changed.speech - {label})
        return changed

    def renamed(self, phones: Iterable[Segment], left_out: list[str]) -> tuple[Segment, ...]:
        """Phones, with names in `phones.NON_PHONEMES` for those that are no speech; noises are added to `left_out`."""
        segments = []
        for phone in phones:
            name = self.name(phone.label, is_phone=True)
            if name is not None and name not in SILENCES:
                left_out.append(phone.label)
            segments.append(phone if name is None else replace(phone, label=name))
        return tuple(segments)

    def without(self, words: Iterable[Row], left_out: list[str]) -> Iterator[Row]:
        """The rows of words that are speech; the labels of the others are appended to `left_out`, if they have any."""
        for word in words:
            if self.name(word.label, is_phone=False) is None:
                yield word
            elif word.label:
                left_out.append(word.label)


def count(utterances: Iterable[Utterance]) -> dict[str, int]:
    """How often each label of phones and words was left out as no speech, the most frequent first."""
    labels = Counter(label for utterance in utterances for label in utterance.non_speech)
    return dict(sorted(labels.items(), key=lambda item: (-item[1], item[0])))


def as_text(counts: Mapping[str, int], shown: int = 12) -> str:
    """The counts of `count` in one line: `left out 12 non-speech labels: <unk> 7, spn 5`."""
    named = ", ".join(f"{label} {number:,}" for label, number in list(counts.items())[:shown])
    more = f" ... ({len(counts)} in all)" if len(counts) > shown else ""
    return f"left out {sum(counts.values()):,} non-speech labels: {named}{more}"


_PAUSES = ("", "sil", "ssil", "sp", "#", "!sil", "<p>", "<s>", "</s>", "{sl}", "{sp}", "<eps>", "<p:>")
_PAUSES_IN_BRACKETS = [pair[0] + word + pair[1] for pair in BRACKETS for word in ("sil", "silence", "pause")]

ALIGNERS = NonSpeech(
    pauses=dict.fromkeys((*_PAUSES, *_PAUSES_IN_BRACKETS), SILENCE) | {label: label for label in SILENCES},
    noises=frozenset({UNKNOWN, "nsn", "noi", "ns", "lg", "br", "cg", "ls", "vocnoise", "iver"}),
    phone_noises=frozenset(
        {"noise", "laugh", "laughter", "breath", "unknown", "unk", "nib", "usb", "cutoff", "exclude"}
    ),
    brackets=frozenset(BRACKETS),
)
"""What forced aligners and transcribers write: MFA, Kaldi, WebMAUS, P2FA and FAVE, and Buckeye's labels."""
