"""Recipes with the keys of MindCV's, one per family and kind; the values are our own."""

_SYSTEM = """
mode: 0
distribute: True
num_parallel_workers: 1
dataset: "imagenet"
data_dir: "/path/to/imagenet"
shuffle: True
dataset_download: False
batch_size: 16
image_resize: 32
scale: [0.2, 1.0]
ratio: [0.8, 1.25]
hflip: 0.5
crop_pct: 0.9
num_classes: 10
pretrained: False
ckpt_path: ""
keep_checkpoint_max: 3
ckpt_save_dir: "./ckpt"
epoch_size: 12
dataset_sink_mode: True
loss: "CE"
label_smoothing: 0.05
min_lr: 0.0
lr: 0.02
warmup_epochs: 2
decay_epochs: 10
momentum: 0.8
weight_decay: 0.0002
use_nesterov: False
"""
_RESIDUAL = f"""{_SYSTEM}
interpolation: "bilinear"
drop_remainder: True
amp_level: "O2"
scheduler: "cosine_decay"
opt: "momentum"
loss_scale: 512
"""

# By family: those of the networks that this package has.
FAMILIES = {
    "resnet": f'{_RESIDUAL}model: "resnet18"',
    "resnext": f'{_RESIDUAL}model: "resnext50_32x4d"\nval_while_train: True',
    "senet": f'{_RESIDUAL}model: "seresnet18"\nval_while_train: False',
    "sknet": f'{_RESIDUAL}model: "skresnet18"\nval_interval: 2\nwarmup_factor: 0.02\nre_prob: 0.2',
}

# By kind: what recipes of other families say, for a network that this package has.
KINDS = {
    "transformers": f"""{_SYSTEM}
model: "skresnet18"
interpolation: "bicubic"
drop_remainder: True
vflip: 0.0
auto_augment: "randaug-m7-mstd0.5-inc1"
re_prob: 0.2
re_value: "random"
mixup: 0.7
cutmix: 1.0
cutmix_prob: 0.9
color_jitter: 0.3
drop_rate: 0.0
drop_path_rate: 0.1
amp_level: "O2"
val_amp_level: "O2"
loss_scale_type: "dynamic"
loss_scale: 1024
drop_overflow_update: True
scheduler: "warmup_cosine_decay"
num_cycles: 2
cycle_decay: 0.5
opt: "adamw"
eps: 1.0e-7
weight_decay_filter: "norm_and_bias"
aug_repeats: 3
seed: 7
log_interval: 50
""",
    "light networks": f"""{_SYSTEM}
model: "skresnet18"
interpolation: "bilinear"
drop_remainder: True
val_split: "val"
train_split: "train"
auto_augment: "autoaug"
re_prob: 0.1
re_ratio: [0.5, 2.0]
re_max_attempts: 1
ckpt_save_policy: "top_k"
ckpt_save_interval: 2
amp_level: "O3"
ema: True
ema_decay: 0.999
scheduler: "exponential_decay"
decay_rate: 0.95
lr_epoch_stair: True
opt: "rmsprop"
loss_scale: 256
loss_scale_type: "fixed"
gradient_accumulation_steps: 2
in_channels: 3
""",
    "step by step": f"""{_SYSTEM}
model: "skresnet18"
interpolation: "nearest"
drop_remainder: False
amp_level: "O0"
scheduler: "multi_step_decay"
multi_step_decay_milestones: [6, 9]
decay_rate: 0.2
weight_decay_filter: "auto"
opt: "lion"
aux_factor: 0.0
""",
}
