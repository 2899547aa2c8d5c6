"""Stable Diffusion 1.x with a layout: MIGC or MIGC++ blocks, ELITE for instances taken from a reference image."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ipcir_steps.core.devices import in_batches, noise_sources
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.imagine.proxies.course import Call, Course, calls
from ipcir_steps.imagine.proxies.deep import Deep
from ipcir_steps.imagine.proxies.elite import PLACEHOLDER, Elite, injected
from ipcir_steps.imagine.proxies.processors import ImageRow, Plan, Stage
from ipcir_steps.imagine.proxies.regions import Regions, box_masks
from ipcir_steps.imagine.proxies.samplers import BETAS, sampler, step_options


@dataclasses.dataclass(frozen=True)
class Item:
    """One instance to draw.

    box: x1, y1, x2, y2 in [0, 1]. region: where it goes, [height, width] in image pixels, in place of the box (MIGC++).
    reference: RGB image it should look like, as ``a * category``; mask: [height, width] of it on the reference.
    """

    prompt: str
    box: tuple[float, float, float, float]
    category: str = ""
    region: np.ndarray | None = None
    reference: Image.Image | None = None
    mask: np.ndarray | None = None


class LayoutPipeline:
    """Draws images of a scene with instances in their boxes.

    stage: what ``load_migc`` or ``install`` returned for this U-Net. scheduler: any of diffusers; by default Euler
    over scaled_linear 0.00085-0.012 with linspace spacing, as published, for a U-Net that predicts ``prediction``
    (``epsilon`` or ``v_prediction``). The autoencoder tells the size of the latents.
    """

    def __init__(
        self,
        unet,
        vae,
        text_encoder,
        tokenizer,
        stage: Stage,
        elite: Elite | None = None,
        scheduler=None,
        prediction: str = "epsilon",
    ):
        self.unet, self.vae, self.text_encoder, self.tokenizer = unet, vae, text_encoder, tokenizer
        self.stage, self.elite, self.deep = stage, elite, Deep(unet)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)  # pixels per latent position and axis
        self.scheduler = scheduler or sampler("euler", {**BETAS, "prediction_type": prediction})
        for module in (unet, vae, text_encoder):
            module.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(
        self,
        scene: str,
        items: Sequence[Item],
        seeds: Sequence[int],
        *,
        negative_prompt: str = "worst quality, low quality, bad anatomy",
        steps: int = 50,
        guidance: float = 7.5,
        migc_steps: int = 25,
        migc_until: float | None = None,
        fuser_steps: int = 50,
        tcd_eta: float = 0.3,
        guidance_until: float = 1.0,
        reuse_every: int = 1,
        width: int = 512,
        height: int = 512,
        proxies_per_batch: int = 5,
        published_gate: bool = False,
        local_weight: float = 0.5,
    ) -> list[Image.Image]:
        """One RGB image per seed. Text, masks, box tokens and reference features are computed once for all.

        guidance: at most 1 means none. migc_steps, fuser_steps: last step index (0-based) of the MIGC blocks and of the
        naive fuser. migc_until (in place of migc_steps), guidance_until, reuse_every: see ``Course``.
        Prompts are cut at the 77 tokens of CLIP. Raises StepFailure for more instances than the blocks have channels
        for.
        """
        plan = self.plan(scene, items, negative_prompt, width, height)
        stage = self.stage
        stage.fuser_steps, stage.published_gate, stage.local_weight = fuser_steps, published_gate, local_weight
        course = Course(steps, guidance, migc_until, guidance_until, reuse_every, migc_steps)

        def draw(part: Sequence[int]) -> list[Image.Image]:
            sources = noise_sources(part)
            return self.decode(self.follow(course, plan, self.normal(sources, width, height), sources, eta=tcd_eta))

        return in_batches(seeds, proxies_per_batch, draw)

    def plan(self, scene: str, items: Sequence[Item], negative_prompt: str, width: int, height: int) -> Plan:
        """Everything that does not change between steps and proxies. An item with a reference gets two rows."""
        prompts, boxes, regions, rows, words = [negative_prompt, scene], [], [], {}, []
        for item in items:
            for prompt in [item.prompt, *([f"a * {item.category}"] if item.reference is not None else [])]:
                prompts.append(prompt)
                boxes.append(item.box)
                region = item.region
                regions.append(box_masks([item.box], height, width)[0] if region is None else torch.as_tensor(region))
            if item.reference is not None:
                word, local = self.elite.encode(item.reference, item.mask)
                rows[len(boxes) - 1] = local
                words.append(word)
        limit = min((p.migc.limit for p in self.unet.attn_processors.values() if getattr(p, "migc", None)), default=28)
        if len(boxes) > limit:
            raise StepFailure(
                f"{len(boxes)} instances, counting those from the reference twice; at most {limit} can be drawn"
            )
        text, pooled, places = self.encode(prompts, list(rows), words)
        weight = self.unet.conv_in.weight
        masks = torch.stack(regions).float() if regions else torch.zeros(0, height, width)
        return Plan(
            text=text,
            pooled=pooled[2:],
            boxes=torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4).to(weight),
            regions=Regions(masks, weight.device, weight.dtype, self.factor),
            images={row: ImageRow(local, place) for (row, local), place in zip(rows.items(), places, strict=True)},
        )

    def encode(self, prompts: list[str], rows: list[int], words: list[Tensor]) -> tuple[Tensor, Tensor, list[int]]:
        """Text states [R, 77, D], pooled text [R, D] and the placeholder of each image row.

        Pooled text is the state at the end token, of image rows that without the injected word.
        """
        ids = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        token = self.tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        if rows and token in (None, self.tokenizer.unk_token_id):
            raise ModelError(f"the tokenizer has no token {PLACEHOLDER!r}, which ELITE replaces with its word")
        places = [(row + 2, int((ids[row + 2] == token).int().argmax())) for row in rows]
        ids = ids.to(self.text_encoder.device)
        with injected(self.text_encoder, places, words):
            states = self.text_encoder(ids).last_hidden_state
        end = ids.argmax(-1)  # the end token has the greatest id
        pooled = states[torch.arange(len(ids)), end]
        if places:  # as published: pooled text does not know the word
            chosen = [row for row, _ in places]
            plain = self.text_encoder(ids[chosen]).last_hidden_state
            pooled[chosen] = plain[torch.arange(len(chosen)), end[chosen]]
        return states, pooled, [place for _, place in places]

    def noise(self, seeds: Sequence[int], width: int, height: int) -> Tensor:
        """Standard normal latents [P, 4, height / factor, width / factor], each from its own seed."""
        return self.normal(noise_sources(seeds), width, height)

    def normal(self, sources: Sequence[torch.Generator], width: int, height: int) -> Tensor:
        """``noise`` from sources that go on to give the fresh noise of samplers that add some."""
        shape = (self.unet.config.in_channels, height // self.factor, width // self.factor)
        weight = self.unet.conv_in.weight
        return torch.stack([torch.randn(shape, generator=source) for source in sources]).to(weight)

    @torch.no_grad()
    def follow(
        self,
        course: Course,
        plan: Plan,
        noise: Tensor,
        sources: Sequence[torch.Generator] = (),
        callback: Callable[[int, Tensor], None] | None = None,
        eta: float = 0.3,
    ) -> Tensor:
        """From standard normal noise [P, 4, h, w] to latents; ``callback(step, latents)`` after each step.

        sources: of fresh noise, one per image, for samplers that add some; eta: how much of it TCD adds.
        """
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(course.steps, device=noise.device)
        options = step_options(scheduler, sources, eta)
        latents = noise * scheduler.init_noise_sigma
        planned = calls(course, scheduler.timesteps, scheduler.config.num_train_timesteps)
        stage, stage.plan = self.stage, plan
        try:
            for step, (time, call) in enumerate(zip(scheduler.timesteps, planned, strict=True)):
                stage.step = step
                stage.follow(call)
                predicted = self.predict(scheduler.scale_model_input(latents, time), time, plan, course, call)
                latents = scheduler.step(predicted, time, latents, **options, return_dict=False)[0]
                if callback is not None:
                    callback(step, latents)
        finally:
            stage.rest()
            self.deep.forget()
        return latents

    def predict(self, scaled: Tensor, time: Tensor, plan: Plan, course: Course, call: Call) -> Tensor:
        """What the U-Net says of latents [P, 4, h, w], with guidance where the call has it."""
        rows = torch.cat([scaled, scaled]) if call.guided else scaled
        text = plan.text[:1].expand(len(rows), -1, -1)  # the processors take theirs from the plan
        predicted = self.deep.whole(rows, time, text) if call.whole else self.deep.shallow(rows, time, text)
        if not call.guided:
            return predicted
        unconditional, conditional = predicted.chunk(2)
        return unconditional + course.guidance * (conditional - unconditional)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents to RGB images, one at a time to bound memory."""
        images = []
        for latent in latents.split(1):
            pixels = self.vae.decode(latent / self.vae.config.scaling_factor).sample[0]
            pixels = (pixels.float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).mul(255).round()
            images.append(Image.fromarray(pixels.to(torch.uint8).cpu().numpy()))
        return images
