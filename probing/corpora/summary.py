"""Summary of a corpus: a document for JSON, and the same as text for the terminal."""

from collections import Counter
from typing import Any

from lvm_probe.probing.corpora import non_speech, phones
from lvm_probe.probing.corpora.corpus import Corpus, unaligned

_SHOWN = 12


def describe(corpus: Corpus) -> dict[str, Any]:
    """Counts, durations, labels and problems of a corpus.

    Returns:
        A document for JSON. `tokens` counts segments; `silences` those among the phonemes that are pauses.
        `phone_set` is what the phone labels are written in ("timit", "arpabet", "ipa"), None where that is not clear.
        `aligned` counts the utterances that have phones or words, `unaligned` holds the ids of the others. `non_speech`
        counts the labels that were left out because they are no speech. `problems` are the errors, each of which left
        an utterance out; `notices` the other remarks. A split or gender that the corpus does not say is counted as
        `unknown`.
    """
    phonemes = Counter(segment.label for utterance in corpus.utterances for segment in utterance.phonemes)
    words = Counter(segment.label for utterance in corpus.utterances for segment in utterance.words)
    genders = Counter(speaker.gender or "unknown" for speaker in corpus.speakers)
    splits = Counter(utterance.split or "unknown" for utterance in corpus.utterances)
    without = unaligned(corpus.utterances)
    return {
        "name": corpus.name,
        "root": str(corpus.root),
        "utterances": len(corpus.utterances),
        "aligned": len(corpus.utterances) - len(without),
        "unaligned": without,
        "speakers": len(corpus.speakers),
        "speakers_by_gender": {gender: genders[gender] for gender in ("F", "M", "unknown")},
        "speakers_with_height": sum(speaker.height_cm is not None for speaker in corpus.speakers),
        "speakers_with_age": sum(speaker.age is not None for speaker in corpus.speakers),
        "seconds": corpus.seconds,
        "minutes": corpus.seconds / 60,
        "splits": dict(sorted(splits.items())),
        "tokens": {"phoneme": phonemes.total(), "word": words.total()},
        "phone_set": phones.recognised(phonemes) if phonemes else None,
        "silences": sum(phonemes[label] for label in phones.SILENCES),
        "labels": {"phoneme": dict(sorted(phonemes.items())), "word": len(words)},
        "non_speech": non_speech.count(corpus.utterances),
        "problems": [str(problem) for problem in corpus.problems if problem.severity == "error"],
        "notices": [str(problem) for problem in corpus.problems if problem.severity == "notice"],
        "fingerprint": corpus.fingerprint(),
    }


def as_text(doc: dict[str, Any]) -> str:
    """The document of `describe` as text; long lists are abbreviated."""
    genders = _counts(doc["speakers_by_gender"], "of unknown gender")
    splits = _counts(doc["splits"], "in no split")
    left_out = [f"  non-speech  {non_speech.as_text(doc['non_speech'])}"] if doc["non_speech"] else []
    labels = sorted(doc["labels"]["phoneme"].items(), key=lambda item: (-item[1], item[0]))
    frequent = ", ".join(f"{label} {count}" for label, count in labels[:_SHOWN])
    ages = f", age for {doc['speakers_with_age']:,}" if doc["speakers_with_age"] else ""
    lines = [
        f"{doc['root']} ({doc['name']})",
        f"  utterances  {doc['utterances']:,} ({splits})",
        f"  aligned     {doc['aligned']:,} of {doc['utterances']:,} utterances",
        f"  speakers    {doc['speakers']:,} ({genders}; height known for {doc['speakers_with_height']:,}{ages})",
        f"  audio       {doc['minutes']:.1f} minutes ({doc['seconds']:,.1f} s)",
        f"  phonemes    {doc['tokens']['phoneme']:,}, {len(labels)} labels ({doc['silences']:,} pauses)",
        *([f"              {_set_name(doc['phone_set'])}"] if labels else []),
        *([f"              {frequent}{' ...' if len(labels) > _SHOWN else ''}"] if labels else []),
        f"  words       {doc['tokens']['word']:,}, {doc['labels']['word']:,} distinct",
        *left_out,
    ]
    for heading, entries in (("left out", doc["problems"]), ("notices", doc["notices"])):
        lines.append(f"  {heading:<11} {len(entries):,}")
        lines += [f"    {entry}" for entry in entries[:_SHOWN]]
        if len(entries) > _SHOWN:
            lines.append(f"    ... and {len(entries) - _SHOWN:,} more")
    return "\n".join(lines)


def _set_name(phone_set: phones.LabelSet | None) -> str:
    return "of no phone set that was recognised" if phone_set is None else f"taken for {phones.NAMES[phone_set]}"


def _counts(counts: dict[str, int], unknown: str) -> str:
    """`70 train, 30 test`."""
    return ", ".join(f"{n:,} {unknown if name == 'unknown' else name}" for name, n in counts.items() if n)
