// Where the images are seen: a stack of Cornerstone3D, scrolled by wheel and keys, windowed by dragging.

import { Enums, RenderingEngine, init, type Types } from "@cornerstonejs/core";

const VIEWPORT = "series";

export class Stage {
  private engine?: RenderingEngine;

  constructor(
    private readonly element: HTMLDivElement,
    private readonly changed: (place: number, count: number, window: { center: number; width: number }) => void,
  ) {}

  /** Make the viewport, once. */
  async open(): Promise<void> {
    await init();
    this.engine = new RenderingEngine("example");
    this.engine.enableElement({ viewportId: VIEWPORT, type: Enums.ViewportType.STACK, element: this.element });
    this.element.addEventListener("wheel", (event) => (event.preventDefault(), this.scroll(Math.sign(event.deltaY))));
    this.element.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (step) (event.preventDefault(), this.scroll(step));
    });
    this.element.addEventListener("pointerdown", (event) => this.element.setPointerCapture(event.pointerId));
    this.element.addEventListener("pointermove", (event) => {
      if (event.buttons) this.adjust(event.movementX, event.movementY);
    });
    this.element.addEventListener(Enums.Events.IMAGE_RENDERED, () => this.tell());
    new ResizeObserver(() => this.engine?.resize(true)).observe(this.element);
  }

  private get viewport(): Types.IStackViewport {
    return this.engine!.getViewport(VIEWPORT) as Types.IStackViewport;
  }

  /** Show the image in the middle of the stack as soon as it is there. */
  async show(imageIds: string[]): Promise<void> {
    await this.viewport.setStack(imageIds, Math.floor(imageIds.length / 2));
    this.viewport.render();
  }

  /** Show the same stack of other images, at the same place, as somebody has windowed it. */
  async replace(imageIds: string[]): Promise<void> {
    const { voiRange } = this.viewport.getProperties();
    await this.viewport.setStack(imageIds, this.viewport.getCurrentImageIdIndex());
    if (voiRange) this.viewport.setProperties({ voiRange });
    this.viewport.render();
  }

  private scroll(step: number): void {
    const count = this.viewport.getImageIds().length;
    const wanted = Math.min(Math.max(this.viewport.getTargetImageIdIndex() + step, 0), count - 1);
    void this.viewport.setImageIdIndex(wanted);
  }

  private adjust(wider: number, darker: number): void {
    const { center, width } = this.window();
    const step = Math.max(width, 1) / 256;
    const [c, w] = [center + darker * step, Math.max(1, width + wider * step)];
    this.viewport.setProperties({ voiRange: { lower: c - w / 2, upper: c + w / 2 } });
    this.viewport.render();
  }

  private window(): { center: number; width: number } {
    const { lower, upper } = this.viewport.getProperties().voiRange ?? { lower: 0, upper: 1 };
    return { center: (lower + upper) / 2, width: upper - lower };
  }

  private tell(): void {
    this.changed(this.viewport.getCurrentImageIdIndex() + 1, this.viewport.getImageIds().length, this.window());
  }
}
