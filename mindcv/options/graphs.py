"""Options that cannot change a compiled graph. All others count: a graph is reused only if they are the same."""

_REASONS = {
    # The shapes and dtypes of images and labels are in the key of a graph.
    "images and labels are inputs": (
        *("dataset", "data_dir", "dataset_download", "train_split", "val_split", "val_fraction", "num_samples"),
        *("batch_size", "shuffle", "drop_remainder", "num_parallel_workers", "on_bad_image", "bad_image_limit"),
        *("image_resize", "interpolation", "mean", "std", "crop_pct"),
        *("scale", "ratio", "hflip", "vflip", "color_jitter", "auto_augment", "random_crop_padding"),
        *("re_prob", "re_scale", "re_ratio", "re_value"),
    ),
    # So are their names, shapes and dtypes; their variant and number of classes are in the network's description.
    "weights are inputs": ("ckpt_path", "pretrained", "num_classes"),
    # They are a Parameter with one value for each update; where MindSpore bakes the values in, they are in the key.
    "learning rates are an input": (
        *("scheduler", "lr", "min_lr", "warmup_epochs", "warmup_factor", "decay_epochs", "decay_rate"),
        *("multi_step_decay_milestones", "epoch_size"),
    ),
    "it decides what is run and written, not how it is computed": (
        *("compile_cache", "debug", "check_data", "val_while_train", "val_interval", "log_interval"),
        *("ckpt_save_dir", "ckpt_save_interval", "ckpt_save_steps", "keep_checkpoint_max", "on_save_error"),
        *("resume", "resume_opt", "on_nan", "nan_limit"),
        *("images", "topk", "output", "overwrite", "dynamic_batch", "average"),
    ),
}
NOT_IN_GRAPHS = {name: reason for reason, names in _REASONS.items() for name in names}
