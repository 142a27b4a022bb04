import type { EventNode, StoreEvent } from "../indexeddb/event.ts";

/**
 * Fires an event at a target and, when it bubbles, at its parents.
 *
 * @returns true when a handler threw. The exception is reported as uncaught, as Node's own EventTarget does it: a trap of
 * the engine inside a handler must not pass unseen.
 * @see https://dom.spec.whatwg.org/#concept-event-dispatch
 */
export function fireEvent(event: StoreEvent, target: EventNode): boolean {
  let didThrow = false;
  event.target = target;
  for (let node: EventNode | null = target; node !== null; node = node.parentNode) {
    const handler = node.handlerFor(event.type);
    if (typeof handler === "function") {
      event.currentTarget = node;
      try {
        handler.call(node, event as never);
      } catch (error) {
        didThrow = true;
        process.nextTick(() => {
          throw error;
        });
      }
    }
    if (!event.bubbles || event.isStopped) break;
  }
  event.currentTarget = null;
  return didThrow;
}

/** Whether anybody would notice an event of this type fired at `target`. */
export function isObserved(type: string, target: EventNode, bubbles: boolean): boolean {
  for (let node: EventNode | null = target; node !== null; node = node.parentNode) {
    if (typeof node.handlerFor(type) === "function") return true;
    if (!bubbles) return false;
  }
  return false;
}
