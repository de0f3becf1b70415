"""The 47 defects that were found in MindCV (main, 51b0636): each has tests that would fail if ours had it too."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Number of the defect -> the tests that hold the promise.
HELD = {
    # config.py
    1: (
        "test_config_values.py::test_command_line_spelling",
        "faults/test_fuzz_config.py::test_every_legal_value_is_read_in_any_spelling_and_the_command_line_wins",
    ),
    2: ("test_mindcv_defects.py::test_false_turns_every_switch_off",),
    3: ("test_config_values.py::test_yaml_spelling",),
    4: (
        "test_config_values.py::test_illegal_yaml",
        "test_mindcv_defects.py::test_a_recipe_obeys_the_rules_of_the_command_line",
    ),
    5: (
        "test_config_values.py::test_illegal_yaml",
        "test_mindcv_defects.py::test_a_recipe_is_read_as_utf8_in_every_locale",
    ),
    6: ("test_scripts.py::test_the_saved_configuration_repeats_the_run",),
    # train.py, train_with_func.py
    7: ("test_mindcv_defects.py::test_device_target_reaches_every_script_and_is_auto_by_default",),
    8: ("test_mindcv_defects.py::test_no_source_sets_a_jit_level",),
    9: ("test_mindcv_defects.py::test_the_name_of_a_checkpoint_says_nothing_about_its_epoch",),
    10: (
        "test_resume.py::test_a_run_interrupted_twice_ends_like_an_uninterrupted_one",
        "test_resume.py::test_the_same_command_starts_continues_and_reports_a_complete_run",
    ),
    11: (
        "test_checkpoint.py::test_training_state_is_saved_with_the_weights_but_kept_apart",
        "test_resume_folder.py::test_a_run_resumes_into_another_folder_with_its_best_and_leaves_the_old_one",
    ),
    12: ("test_resume.py::test_a_longer_run_continues_the_shorter_one",),
    13: ("test_resume.py::test_a_run_interrupted_twice_ends_like_an_uninterrupted_one",),
    14: (
        "engine/test_callbacks.py::test_a_resumed_run_drops_the_rows_of_epochs_it_repeats",
        "engine/test_saving.py::test_the_best_epoch_is_restored",
    ),
    15: (
        "test_resume.py::test_a_run_interrupted_twice_ends_like_an_uninterrupted_one",
        "test_mindcv_defects.py::test_averages_start_from_the_weights_of_a_plain_checkpoint",
    ),
    16: (
        "engine/test_combinations.py::test_both_modes_train_equally_and_a_restored_state_goes_on_exactly",
        "engine/test_loss_scale.py::test_overflows_halve_the_scale_and_change_nothing_else",
    ),
    17: (
        "test_scripts.py::test_a_mistyped_checkpoint_is_never_replaced_by_random_weights",
        "test_scripts.py::test_bad_input_to_train_is_a_one_line_error_and_creates_nothing",
    ),
    18: ("test_mindcv_defects.py::test_a_run_writes_into_its_folder_only",),
    19: ("test_mindcv_defects.py::test_the_parameters_shown_are_those_that_are_trained",),
    20: (
        "data/test_loader.py::test_augmentation_differs_between_epochs_and_shards_of_the_same_image",
        "test_mindcv_calls.py::test_what_means_something_else_is_answered_with_a_sentence",
    ),
    # mindcv/utils
    21: (
        "engine/test_trainer.py::test_the_last_epoch_is_always_validated",
        "engine/test_callbacks.py::test_metrics_file_has_one_row_per_epoch_and_empty_cells_without_validation",
        "test_store.py::test_top_k_keeps_the_best_epochs_and_of_equal_ones_the_earlier",
    ),
    22: (
        "engine/test_trainer.py::test_fit_reports_mean_loss_best_epoch_and_last_learning_rate",
        "test_console.py::test_an_interval_prints_every_so_many_units",
    ),
    23: (
        "test_scripts.py::test_options_reach_the_training_step_and_the_store",
        "engine/test_combinations.py::test_both_modes_train_equally_and_a_restored_state_goes_on_exactly",
    ),
    24: ("engine/test_evaluator.py::test_several_processes_give_the_result_of_one",),
    25: (
        "test_checkpoint.py::test_a_failed_save_leaves_the_previous_file_and_nothing_else",
        "faults/test_kills.py::test_killed_runs_end_like_an_undisturbed_run",
    ),
    26: ("engine/test_train_step.py::test_accumulating_k_batches_equals_one_batch_of_all",),
    27: ("engine/test_train_step.py::test_accumulation_advances_the_schedule_once_per_update",),
    28: (
        "engine/test_train_step.py::test_clipping_applies_to_the_accumulated_gradient",
        "engine/test_averaging.py::test_only_updates_are_averaged",
        "engine/test_loss_scale.py::test_an_overflow_at_a_fixed_scale_is_skipped_or_a_bad_step",
    ),
    29: (
        "faults/test_security.py::test_no_source_executes_file_contents",
        "test_config_mindcv.py::test_an_unsupported_feature_is_accepted_if_off_and_named_otherwise",
        "engine/test_combinations.py::test_both_modes_train_equally_and_a_restored_state_goes_on_exactly",
    ),
    30: (
        "weights/test_weight_download.py::test_a_failed_download_says_what_to_do_and_leaves_no_file",
        "data/test_download.py::test_a_failed_download_says_what_to_do_and_leaves_no_file",
    ),
    31: (
        "faults/test_security.py::test_no_source_executes_file_contents",
        "faults/test_security.py::test_published_files_use_https_and_have_hashes",
    ),
    32: (
        "data/test_download.py::test_bad_archive_is_refused_and_writes_nothing",
        "weights/test_weight_download.py::test_a_terminal_shows_progress",
    ),
    # mindcv/data, loss, optim, scheduler
    33: ("test_mindcv_defects.py::test_augmentation_and_preprocessing_act_on_every_data_set",),
    34: ("test_scripts.py::test_own_images_in_folders_train_and_validate",),
    35: (
        "data/test_data_factory.py::test_default_splits_exist_in_every_built_in_data_set",
        "data/test_download.py::test_pinned_files_are_fetched_over_https_with_full_hashes",
    ),
    36: ("test_mindcv_defects.py::test_batches_of_odd_size_are_mixed",),
    37: (
        "optim/test_param_groups.py::test_disable_decays_every_trainable_parameter_in_one_group",
        "test_mindcv_defects.py::test_layer_decay_and_the_filter_of_norms_act_together",
        "test_mindcv_defects.py::test_betas_and_eps_reach_each_optimizer_that_has_them",
        "test_checkpoint.py::test_weights_alone_cannot_be_resumed",
    ),
    38: (
        "scheduler/test_scheduler_factory.py::test_default_milestones_of_a_90_epoch_run_fall_at_30_and_60_despite_a_warmup",
        "test_mindcv_defects.py::test_a_cosine_ends_with_the_run_and_its_first_rate_is_above_0",
    ),
    39: ("loss/test_loss_factory.py::test_auxiliary_logits_count_by_their_factor",),
    # validate.py, infer.py
    40: ("test_mindcv_defects.py::test_validation_keeps_the_batch_size_and_reads_every_image",),
    41: ("test_mindcv_defects.py::test_validation_reports_the_cross_entropy_without_label_smoothing",),
    42: (
        "test_weight_scripts.py::test_infer_accepts_every_format_with_equal_results",
        "data/test_image_list.py::test_several_patterns_keep_their_order_without_duplicates",
    ),
    # mindcv/models/sknet.py
    43: ("models/test_models.py::test_the_readme_states_timms_parameter_count",),
    44: ("models/test_goldens.py::test_evaluation_gives_timms_logits",),
    45: ("weights/test_load.py::test_a_model_without_published_weights_is_an_error",),
    46: ("weights/test_catalog.py::test_a_urls_file_name_contains_its_hash",),
    47: (
        "test_scripts.py::test_options_reach_the_training_step_and_the_store",
        "models/test_models.py::test_features_only_returns_the_chosen_maps",
        "test_early.py::test_a_wrong_name_or_path_is_a_one_line_error",
    ),
}


@cache
def functions_of(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("number", range(1, 48))
def test_every_defect_has_a_test(number):
    for place in HELD[number]:
        file, test = place.split("::")
        assert test.startswith("test_") and test in functions_of(TESTS / file), place


def test_every_test_of_defects_without_another_one_is_listed():
    places = {place for held in HELD.values() for place in held}
    for test in functions_of(TESTS / "test_mindcv_defects.py"):
        assert not test.startswith("test_") or f"test_mindcv_defects.py::{test}" in places, test
