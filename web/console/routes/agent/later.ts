// Views of the desk that come when they are first needed, so that the first view is there soon.

import { signal } from "@preact/signals";

/** What `load` brings, undefined until it has come; asking brings it. */
function later<M>(load: () => Promise<M>): () => M | undefined {
  const module = signal<M | undefined>(undefined);
  return () => {
    if (!module.value) {
      void load().then(
        (views) => (module.value = views),
        // The next look at the call asks again.
        () => {},
      );
    }
    return module.value;
  };
}

/** A consultation: most calls need none. */
export const consultViews = later(() => import("./consult.tsx"));

/** What has happened on a call so far. */
export const storyViews = later(() => import("./story.tsx"));

/** A link to the line test: handed out now and then. */
export const linkViews = later(() => import("../tests/link.tsx"));
