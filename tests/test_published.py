"""Where each way in which the published configuration once stopped, or went wrong, is tested (issue 18)."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CASES = {
    "1 toy models run on real photographs in silence": [
        "workflow/test_fresh.py::test_the_headline_command_plans_the_published_stack_and_names_everything_that_is_missing",
        "workflow/test_fresh.py::test_toy_models_need_a_word",
        "workflow/test_workflow.py::test_every_figure_is_made_and_verified",
        "config/test_stack.py::test_toy_models_on_real_images_need_a_word_and_are_marked",
    ],
    "2 the published chat model cannot be loaded": [
        "imagine/llm/test_quantised.py::test_quantised_weights_answer_as_the_numbers_they_stand_for",
        "imagine/llm/test_quantised.py::test_the_extra_is_named_where_it_is_not_installed",
    ],
    "3 a bare MissingInputException": [
        "workflow/test_statistics.py::test_what_is_missing_is_named_with_its_remedy",
        "workflow/test_statistics.py::test_they_are_made_from_the_annotations_where_these_are",
        "runtime/test_preflight.py::test_the_csv_may_lie_in_the_folder",
    ],
    "4 whole repositories are downloaded": [
        "runtime/test_model_files.py::test_no_byte_is_fetched_that_is_not_loaded",
        "runtime/test_model_files.py::test_the_precision_decides_which_weights_of_a_pipeline",
    ],
    "5 memory is a constant, float32 as stored": [
        "runtime/plan/test_memory.py::test_a_captioner_of_31_gb_is_not_given_4",
        "runtime/plan/test_memory.py::test_every_attempt_asks_for_twice_as_much",
        "runtime/plan/test_memory.py::test_half_precision_halves_what_the_device_holds",
        "runtime/plan/test_plan.py::test_batches_of_the_stacks_fit_a_gpu_of_24_gb",
        "imagine/test_precision.py::test_captions_are_written_in_half_precision",
    ],
    "6 every shard loads its models, layouts are decoded one by one": [
        "workflow/test_workflow.py::test_same_bytes_from_scratch_with_any_division",
        "core/test_shards.py::test_a_job_that_dies_in_a_later_shard_loses_nothing_of_the_earlier",
        "imagine/llm/test_decoding.py::test_constrained_answers_are_the_same_alone_and_together_and_all_valid",
    ],
    "7 the plan knows nothing before a run": [
        "runtime/plan/test_plan.py::test_the_built_in_stacks_are_planned_without_a_gap",
        "runtime/plan/test_operations.py::test_captioners_of_the_other_stacks",
    ],
    "8 a BLIP-2 snapshot from before the image token": [
        "imagine/test_captions.py::test_a_copy_without_the_image_token_writes_the_same_captions",
        "imagine/test_captions.py::test_a_copy_without_the_rows_of_the_image_token",
    ],
    "9 embeddings in float32 only; a job with two GPUs starts twice": [
        "seek/test_embeddings.py::test_half_precision_features_are_stored_as_float32",
        "workflow/test_profiles.py::test_slurm_is_asked_for_several_gpus_and_one_task",
        "integration/test_slurm.py::test_a_job_with_two_devices_starts_its_step_once",
        "runtime/test_leases.py::test_a_command_gets_as_many_devices_as_it_asks_for",
    ],
    "10 departures from the released code that nothing says": [
        "config/test_stack.py::test_the_released_values_are_in_published",
        "imagine/layouts/test_parse.py::test_the_released_reading",
        "imagine/layouts/test_parse.py::test_the_released_reading_rates_sizes_as_the_released_enrichment",
        "imagine/test_masks.py::test_the_best_of_three_masks_is_the_one_that_sam_rates_highest",
        "imagine/proxies/test_migc_generator.py::test_an_instance_without_a_mask_may_be_drawn_as_text",
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_tests(case):
    for name in CASES[case]:
        path, function = name.split("::")
        defined = {node.name for node in ast.parse((TESTS / path).read_text()).body if hasattr(node, "name")}
        assert function in defined, name
