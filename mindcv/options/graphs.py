"""Options that cannot change a compiled graph. All others count: a graph is reused only if they are the same."""

_REASONS = {
    # A graph takes images and labels as inputs, whose shapes and types are in its key beside the options.
    "images and labels are inputs": (
        *("dataset", "data_dir", "dataset_download", "train_split", "val_split", "val_fraction", "num_samples"),
        *("batch_size", "shuffle", "drop_remainder", "num_parallel_workers", "on_bad_image", "bad_image_limit"),
        *("image_resize", "interpolation", "mean", "std", "crop_pct"),
        *("scale", "ratio", "hflip", "vflip", "color_jitter", "auto_augment", "random_crop_padding"),
        *("re_prob", "re_scale", "re_ratio", "re_value"),
    ),
    # As are weights, whose names, shapes and types are in the key; the variant they need is in the network's
    # description, with the number of classes.
    "weights are inputs": ("ckpt_path", "pretrained", "num_classes"),
    # They are a Parameter, as long as the run has updates; where MindSpore keeps the numbers as well, the key has them.
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
