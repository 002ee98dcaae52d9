// What both pages begin with: finding and making elements, and asking the command that serves them.

history.replaceState(null, "", "/"); // the token has done its work

export const at = (id) => document.getElementById(id);

export function fill(node, text, attributes) {
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export const make = (tag, text, attributes = {}) => fill(document.createElement(tag), text, attributes);

// Asks with GET, or POSTs `value`; the answer's JSON. Throws what the command says, or `silence` where it says nothing.
export const asker = (silence) => async (path, value) => {
  const options = value && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
  };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error(silence);
  }
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error);
  return body;
};
