"""Unpunctuated speech in scripts without spaces is split between words."""

from __future__ import annotations

from itertools import accumulate

import pytest

from tests.harness.lane.operator_runs import expected_sentences, make_chunk, make_items, run_operators

# Manually separated words.
SPOKEN = {
    "th": "สวัสดี ครับ วัน นี้ เรา จะ พูด เรื่อง งบ ประมาณ ของ บริษัท ใน ปี หน้า เรา ต้อง ตัดสิน ใจ ก่อน สิ้น เดือน เพราะ ลูกค้า รอ อยู่",
    "lo": "ສະບາຍດີ ຕອນເຊົ້າ ທຸກຄົນ ມື້ນີ້ ພວກ ເຮົາ ຈະ ເວົ້າ ກ່ຽວກັບ ງົບປະມານ ຂອງ ບໍລິສັດ ໃນ ປີ ໜ້າ ພວກ ເຮົາ ຕ້ອງ ຕັດສິນໃຈ ກ່ອນ ທ້າຍ ເດືອນ",
    "km": "សួស្តី អ្នក ទាំងអស់ គ្នា ថ្ងៃ នេះ យើង នឹង និយាយ អំពី ថវិកា របស់ ក្រុមហ៊ុន សម្រាប់ ឆ្នាំ ក្រោយ យើង ត្រូវ សម្រេច ចិត្ត មុន ចុង ខែ",
    "my": "မင်္ဂလာ ပါ ယနေ့ ကျွန်ုပ် တို့ သည် နှစ် သစ် အတွက် ကုမ္ပဏီ ၏ ဘတ်ဂျက် အကြောင်း ဆွေးနွေး မည် ဖြစ် သည် လကုန် မ တိုင် မီ ဆုံးဖြတ် ရ မည်",
    "ja": "それ で は 来年 の 会社 の 予算 に ついて 話し ましょう その 前 に 先月 の 売り上げ と お客様 から の"
    " 問い合わせ を 確認 し たい と 思い ます",
    "zh": "我们 明天 上午 讨论 公司 明年 的 预算 问题 然后 再 决定 是否 需要 聘请 更多 的 工程师"
    " 因为 客户 一直 在 等待 我们 的 答复",
}


@pytest.mark.parametrize("language", SPOKEN)
def test_segment_ends_between_words(language: str) -> None:
    words = SPOKEN[language].split() * 5
    text = "".join(words)
    said = make_chunk("1", text, end=60).model_copy(update={"language": language})
    pieces = run_operators(make_items([(60.0, said)])).texts()
    assert "".join(pieces) == text
    assert len(pieces) > 2
    assert set(accumulate(map(len, pieces))) <= set(accumulate(map(len, words)))


@pytest.mark.parametrize("language", SPOKEN)
def test_boundaries_do_not_depend_on_how_the_text_grew(language: str) -> None:
    text = "".join(SPOKEN[language].split()) * 4
    grown = [
        (stop / 10, make_chunk("1", text[:stop], end=60).model_copy(update={"language": language}))
        for stop in (*range(1, len(text), 7), len(text))
    ]
    assert run_operators(make_items(grown)).sentence_fields() == expected_sentences([grown[-1][1]])


def test_unknown_word_of_any_length_is_split() -> None:
    text = "ก" * 500
    pieces = run_operators(make_items([(60.0, make_chunk("1", text, end=60))])).texts()
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 60
