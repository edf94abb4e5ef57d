import json
import pickle
import subprocess
import sys

from conftest import trial

SCORE_TWICE = """
import pickle, sys
from models.trials.process import prepare_process
prepare_process(1)
from models.trials.run import run_trial
spec = pickle.load(sys.stdin.buffer)
print([run_trial(spec).score for _ in range(int(sys.argv[1]))])
"""

PREPARE = """
import json, logging
from models.trials.process import prepare_process, warm_up
prepare_process(2)
import tensorflow as tf
warm_up()
import gc
print(json.dumps([
    tf.config.threading.get_intra_op_parallelism_threads(),
    tf.config.threading.get_inter_op_parallelism_threads(),
    gc.get_freeze_count() > 100_000,
]))
"""

IMPORT = """
import sys
import models.trials.run, models.trials.spec, models.trials.process
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""


def python(code, *arguments, feed=b""):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], input=feed, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_the_same_trial_scores_the_same_to_the_last_bit(line):
    values = {"num_layers": 2, "units": 16, "dropout": 0.2, "batch_size": 8}
    feed = pickle.dumps(trial(line, values=values))
    twice = json.loads(python(SCORE_TWICE, "2", feed=feed))
    fresh = json.loads(python(SCORE_TWICE, "1", feed=feed))
    assert twice == fresh * 2
    assert fresh[0] > 0


def test_a_process_is_prepared_and_warm():
    assert json.loads(python(PREPARE)) == [2, 2, True]


def test_the_parent_of_trial_processes_need_not_import_tensorflow():
    assert python(IMPORT).split() == ["False", "False"]
