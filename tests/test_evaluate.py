import re

import pytest

from nam import evaluate
from nam.errors import UserError


def test_a_run_is_evaluated_as_it_was_at_its_end(finished, capsys):
    folder, result = finished
    evaluate.main([str(folder)])
    printed = capsys.readouterr().out
    shares = [float(share) / 100 for share in re.findall(r"([\d.]+)%", printed)]
    # Compiled otherwise than in the run: numbers differ in their last bits, and an answer here and there.
    assert shares == pytest.approx([result["test"][kind] for kind in ("deterministic", "sampled", "vote")], abs=0.01)
    assert f"{result['parameters']:,} parameters" in printed and "72 pixels read" in printed
    evaluate.main([str(folder), "--split", "validation", "--votes", "1"])
    assert "validation  deterministic" in capsys.readouterr().out


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        evaluate.main([str(tmp_path)])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no model yet"):
        evaluate.main([str(tmp_path)])
    with pytest.raises(UserError, match="RUN is missing"):
        evaluate.main([])
