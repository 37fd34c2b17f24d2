"""The configuration of ERNIE-4.5-VL as its published checkpoints bring it, as far as vLLM reads it."""

from transformers import PretrainedConfig


class VisionConfig(PretrainedConfig):
    model_type = "ernie4_5_moe_vl_vision"


class Ernie4_5_VLMoEConfig(PretrainedConfig):
    model_type = "ernie4_5_moe_vl"
    sub_configs = {"vision_config": VisionConfig}  # noqa: RUF012

    def __init__(self, vision_config=None, **further):
        self.vision_config = VisionConfig(**(vision_config or {}))
        super().__init__(**further)
