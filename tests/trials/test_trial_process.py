import json
import pickle
import subprocess
import sys

SCORE = """
import gc, json, pickle, sys
from models.trials.process import prepare_process, warm_up
prepare_process(1)
if sys.argv[1] == "warm":
    warm_up()
from models.trials.run import run_trial
import tensorflow as tf
spec = pickle.load(sys.stdin.buffer)
print(json.dumps({
    "scores": [run_trial(spec).score for _ in range(int(sys.argv[2]))],
    "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    "frozen": gc.get_freeze_count() > 100_000,
}))
"""

TRAINER = """
import pickle, sys
from models.settings import Settings
from models.trials.process import prepare_process
prepare_process(1, Settings(trainer="keras"))
from models.trials.run import run_trial
print(run_trial(pickle.load(sys.stdin.buffer)).trainer)
"""

IMPORT = """
import sys
import models.trials.run, models.trials.spec, models.trials.process
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""


PRELOAD = """
import sys
import models.trials.preload
print("keras" in sys.modules, "onnxruntime" in sys.modules)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_a_trial_scores_the_same_to_the_last_bit_in_every_process(line, trial):
    values = {"num_layers": 2, "units": 16, "dropout": 0.2, "batch_size": 8}
    spec = pickle.dumps(trial(line, values))
    with start(SCORE, "cold", "2") as cold, start(SCORE, "warm", "1") as warm:
        for process in (cold, warm):
            process.stdin.write(spec)
            process.stdin.close()
        twice, once = json.load(cold.stdout), json.load(warm.stdout)
    assert twice["scores"] == once["scores"] * 2
    assert once["scores"][0] > 0
    assert once["threads"] == 1
    assert once["frozen"]


def test_a_process_trains_with_the_trainer_of_its_settings(line, trial):
    with start(TRAINER) as process:
        answer, _ = process.communicate(pickle.dumps(trial(line, epochs=1)))
    assert answer.split() == [b"keras"]


def test_the_parent_of_trial_processes_need_not_import_tensorflow():
    with start(IMPORT) as process:
        assert process.stdout.read().split() == [b"False", b"False"]


def test_the_process_that_forks_them_has_keras_and_no_thread_of_onnx_runtime():
    with start(PRELOAD) as process:
        assert process.stdout.read().split() == [b"True", b"False"]
