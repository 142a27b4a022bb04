import { asObject } from "../matrix/json.ts";
import type { Handlers, Reply } from "./call.ts";
import { okObject, withBody } from "./replies.ts";

/** Features whose endpoints the table refuses: a client that sees them offered would use them instead of what works. */
const HIDDEN: ReadonlySet<string> = new Set([
  "org.matrix.msc3575",
  "org.matrix.simplified_msc3575",
  "org.matrix.msc4186",
  "org.matrix.msc2716",
  "org.matrix.msc2697",
  "org.matrix.msc3814",
]);

/**
 * GET /_matrix/client/versions, without what cannot be handled. Untouched, byte for byte, where nothing is hidden.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientversions
 */
export function versionsRoutes(): Handlers {
  return {
    versions: async (call): Promise<Reply> => {
      const response = await call.forward();
      const answer = okObject(response);
      const features = asObject(answer?.["unstable_features"]);
      if (answer === null || features === null) return response;
      const kept = Object.entries(features).filter(([name]) => !isHidden(name));
      if (kept.length === Object.keys(features).length) return response;
      return withBody(response, { ...answer, unstable_features: Object.fromEntries(kept) });
    },
  };
}

/** A proposal's flags may carry a suffix: `org.matrix.msc3814.v1`. */
function isHidden(feature: string): boolean {
  return HIDDEN.has(feature) || HIDDEN.has(feature.replace(/\.[^.]*$/, ""));
}
