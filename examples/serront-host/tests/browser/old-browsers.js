// Reads a script as a browser from the beginning of 2019 does, and prints what it would not understand, one line each.
//
//   node old-browsers.js FOLDER_WITH_NODE_MODULES SCRIPT
//
// - The grammar: ECMAScript 2018, by acorn. A script with one newer token does not run at all.
// - The names: whatever it takes from the language or the browser has to be there, by MDN's data. A name that some old interface
//   has passes, also where another one is meant; what an option or a value of an attribute means is not looked at.
// - The promises: a chain ends with a catch, and what is awaited stands in a try. What fails unseen helps nobody.
"use strict";

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [folder, file] = process.argv.slice(2);
const from = createRequire(join(folder, "node_modules", "here.js"));
const acorn = from("acorn");
const walk = from("acorn-walk");
const { api, javascript } = from("@mdn/browser-compat-data");

// What people in Indonesia had on their phones at the beginning of 2019.
const OLDEST = { chrome_android: 72, webview_android: 72, firefox: 65, safari_ios: 12 };
// Names that are there in newer browsers alone, which the script asks for before it uses them.
const ASKED_FOR = new Set(["clipboard", "writeText"]);

const found = [];
const source = readFileSync(file, "utf8");

function tell(node, text) {
  found.push(`${file}:${node.loc.start.line}: ${text}`);
}

let program;
try {
  program = acorn.parse(source, { ecmaVersion: 2018, sourceType: "script", locations: true });
} catch (error) {
  console.log(`${file}: ${error.message} in ECMAScript 2018`);
  process.exit(1);
}

// Whether all of the oldest browsers have what this entry of MDN's data describes.
function isOld(entry) {
  const support = entry && entry.__compat && entry.__compat.support;
  if (!support) return false;
  return Object.keys(OLDEST).every((browser) => {
    const statements = [].concat(support[browser] || []);
    return statements.some((statement) => {
      const since = Number.parseFloat(String(statement.version_added).replace("≤", ""));
      return since <= OLDEST[browser] && !statement.version_removed && !statement.flags && !statement.prefix;
    });
  });
}

const interfaces = [...Object.values(api), ...Object.values(javascript.builtins)];

// `undefined` where nothing of the browser's has this name, as with names of the page's own.
function isOldMember(object, name) {
  // Of `URL` or `Promise` it is known which interface is meant.
  const known = object.type === "Identifier" && /^[A-Z]/.test(object.name) && (api[object.name] || javascript.builtins[object.name]);
  const entries = (known ? [known] : interfaces).flatMap((all) => [all[name], all[`${name}_static`]]);
  const described = entries.filter((entry) => entry && entry.__compat);
  return described.length === 0 ? undefined : described.some(isOld);
}

function isOldGlobal(name) {
  const entries = [api.Window[name], api[name], api[`${name}_static`], javascript.builtins[name]].filter(Boolean);
  return entries.length === 0 ? undefined : entries.some(isOld);
}

const declared = new Set();
// Under which names the data of elements go.
const data = new Set();
const isDataset = (node) => node.type === "MemberExpression" && ["dataset", "style"].includes(node.property.name);
walk.full(program, (node) => {
  if (node.type === "VariableDeclarator" && node.init && isDataset(node.init)) data.add(node.id.name);
});
walk.full(program, (node) => {
  const patterns = [node.id, ...(node.params || []), node.type === "CatchClause" && node.param].filter(Boolean);
  for (const pattern of patterns) walk.full(pattern, (name) => name.name && declared.add(name.name), walk.base, null, null);
});

walk.fullAncestor(program, (node, _state, ancestors) => {
  const above = ancestors.slice(0, -1).reverse();
  if (node.type === "MemberExpression" && !node.computed) {
    const name = node.property.name;
    // A data attribute is the page's own, and a style is no method.
    const isData = isDataset(node.object) || data.has(node.object.name);
    if (!isData && isOldMember(node.object, name) === false && !ASKED_FOR.has(name)) tell(node, `.${name} came later than 2019`);
  }
  if (node.type === "Identifier" && !declared.has(node.name) && isOldGlobal(node.name) === false && !ASKED_FOR.has(node.name)) {
    tell(node, `${node.name} came later than 2019`);
  }
  if (node.type === "Literal" && node.regex && /\(\?<[=!]/.test(node.regex.pattern)) {
    tell(node, "an expression that looks back came later than 2019");
  }
  if (node.type === "AwaitExpression") {
    const isTried = above.some((outer, nth) => outer.type === "TryStatement" && outer.handler && above[nth - 1] === outer.block);
    if (!isTried) tell(node, "what is awaited is in no try");
  }
  if (node.type === "ExpressionStatement" && isChain(node.expression) && called(node.expression) !== "catch") {
    tell(node, "a promise is left without a catch");
  }
});

// The name of the method that is called.
function called(node) {
  return node.type === "CallExpression" && node.callee.type === "MemberExpression" ? node.callee.property.name : undefined;
}

// Whether something in this chain of calls is called `then`.
function isChain(node) {
  if (!called(node)) return false;
  return called(node) === "then" || isChain(node.callee.object);
}

for (const line of found) console.log(line);
process.exit(found.length === 0 ? 0 : 1);
