// What pages import as `../vendor/preact.js`: components, hooks, and templates instead of JSX.
export { Fragment, createContext, createRef, h, render } from "preact";
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo,
  useReducer, useRef, useState,
} from "preact/hooks";
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
