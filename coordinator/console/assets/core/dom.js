// A small virtual DOM: pages describe what they show, `patch` changes only what differs.
//
// Nodes stay, so focus, scroll positions, selections and open menus do. Data only ever becomes text nodes and
// attribute values: there is no way to hand markup to the browser.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN_PROPS = new Set(["key", "ref", "keep", "style"]);
// Set as properties: the attribute of the same name is only the initial value.
const AS_PROPERTY = new Set(["value", "checked", "disabled", "selected", "hidden", "open", "readOnly", "indeterminate"]);
const URLS = new Set(["href", "src", "action", "formaction", "xlink:href"]);

const handlers = new WeakMap(); // element -> {event: handler}

/** Describes an element. Children may be nested arrays, strings, numbers; null and false keep their place, empty. */
export function h(tag, props, ...children) {
  return { tag, props: props || {}, children: flatten(children, []) };
}

function flatten(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flatten(child, into);
    else if (child === null || child === undefined || child === false || child === true) into.push("");
    else into.push(typeof child === "object" ? child : String(child));
  }
  return into;
}

/** Makes the children of `parent` what `children` describe. */
export function patch(parent, ...children) {
  reconcile(parent, flatten(children, []), parent.namespaceURI === SVG);
}

function reconcile(parent, wanted, inSvg) {
  const keyed = new Map();
  for (let node = parent.firstChild; node; node = node.nextSibling) {
    if (node.vnode && node.vnode.props && node.vnode.props.key !== undefined) keyed.set(node.vnode.props.key, node);
  }
  let next = parent.firstChild;
  for (const vnode of wanted) {
    const key = vnode.props ? vnode.props.key : undefined;
    let node = null;
    if (key !== undefined) {
      node = keyed.get(key) || null;
      if (node) keyed.delete(key);
      if (node && !fits(node, vnode)) node = null;
    } else if (next && fits(next, vnode) && !isKeyed(next)) {
      node = next;
    }
    if (node === null) {
      node = create(vnode, inSvg);
      const replaced = key === undefined && next && !isKeyed(next) ? next : null;
      parent.insertBefore(node, next);
      if (replaced) {
        next = replaced.nextSibling;
        parent.removeChild(replaced);
      }
    } else if (node === next) {
      next = next.nextSibling;
    } else {
      parent.insertBefore(node, next);
    }
    update(node, vnode, inSvg);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    parent.removeChild(gone);
  }
}

function isKeyed(node) {
  return Boolean(node.vnode && node.vnode.props && node.vnode.props.key !== undefined);
}

function fits(node, vnode) {
  if (typeof vnode === "string") return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.vnode !== undefined && node.vnode.tag === vnode.tag;
}

function create(vnode, inSvg) {
  if (typeof vnode === "string") return document.createTextNode(vnode);
  const svg = inSvg || vnode.tag === "svg";
  const node = svg ? document.createElementNS(SVG, vnode.tag) : document.createElement(vnode.tag);
  node.vnode = { tag: vnode.tag, props: {}, children: [], fresh: true };
  return node;
}

function update(node, vnode, inSvg) {
  if (typeof vnode === "string") {
    if (node.data !== vnode) node.data = vnode;
    return;
  }
  const before = node.vnode;
  setProps(node, before.props, vnode.props);
  node.vnode = vnode;
  // `keep`: the children belong to somebody else (an editor, a chart), or have not changed since this value.
  const keep = vnode.props.keep;
  if (keep === undefined || keep !== before.props.keep) {
    reconcile(node, vnode.children, inSvg || vnode.tag === "svg");
  }
  // A select shows its value only once it has its options.
  if (vnode.tag === "select" && vnode.props.value !== undefined && node.value !== vnode.props.value) {
    node.value = vnode.props.value;
  }
  if (vnode.props.ref && before.fresh) vnode.props.ref(node);
}

function setProps(node, before, after) {
  for (const name of Object.keys(before)) {
    if (!(name in after) && !HIDDEN_PROPS.has(name)) setProp(node, name, before[name], undefined);
  }
  for (const name of Object.keys(after)) {
    if (!HIDDEN_PROPS.has(name)) setProp(node, name, before[name], after[name]);
  }
  if (before.style || after.style) setStyle(node, before.style || {}, after.style || {});
}

function setProp(node, name, before, after) {
  if (name.startsWith("on")) {
    listen(node, name.slice(2), after);
  } else if (AS_PROPERTY.has(name) && name in node && node.localName !== "option") {
    const value = after === undefined ? (typeof node[name] === "string" ? "" : false) : after;
    if (node[name] !== value) node[name] = value;
  } else if (before !== after) {
    if (after === undefined || after === null || after === false) node.removeAttribute(name);
    else if (URLS.has(name) && !String(after).startsWith("#")) throw new Error(`not a link of this page: ${name}`);
    else node.setAttribute(name, after === true ? "" : String(after));
  }
}

function setStyle(node, before, after) {
  for (const name of Object.keys(before)) {
    if (!(name in after)) node.style.removeProperty(name);
  }
  for (const name of Object.keys(after)) {
    if (before[name] !== after[name]) node.style.setProperty(name, String(after[name]));
  }
}

function listen(node, event, handler) {
  let own = handlers.get(node);
  if (!own) handlers.set(node, (own = {}));
  if (!(event in own)) node.addEventListener(event, (e) => own[event] && own[event](e));
  own[event] = handler || null;
}
