/** A handler as the `on...` attributes hold it. */
export type EventHandler<E extends StoreEvent = StoreEvent> =
  ((this: EventNode, event: E) => unknown) | null | undefined;

/**
 * An event of the store. Node's own `Event` has no path to bubble along, and its target cannot be set.
 *
 * @see https://dom.spec.whatwg.org/#interface-event
 */
export class StoreEvent {
  readonly type: string;
  readonly bubbles: boolean;
  readonly cancelable: boolean;
  target: EventNode | null = null;
  currentTarget: EventNode | null = null;
  #isCanceled = false;
  #isStopped = false;

  constructor(
    type: string,
    options: { readonly bubbles?: boolean; readonly cancelable?: boolean } = {},
  ) {
    this.type = type;
    this.bubbles = options.bubbles ?? false;
    this.cancelable = options.cancelable ?? false;
  }

  get defaultPrevented(): boolean {
    return this.#isCanceled;
  }

  /** @internal */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  preventDefault(): void {
    if (this.cancelable) this.#isCanceled = true;
  }

  stopPropagation(): void {
    this.#isStopped = true;
  }
}

/** Anything that events are fired at. Handlers are the `on...` attributes; addEventListener is refused. */
export abstract class EventNode {
  /** Where an event goes from here when it bubbles. @internal */
  abstract get parentNode(): EventNode | null;
  /** The handler for a type of event. @internal */
  abstract handlerFor(type: string): EventHandler;
}
