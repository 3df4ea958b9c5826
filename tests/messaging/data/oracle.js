// Handlebars.js as Heliograph speaks it: the helpers of pinpoint-1 6.5 in JavaScript, so that everything around them
// (lexer, grammar, whitespace, contexts, blocks, partials, escaping) can be compared with the real thing.

function scalar(v) {
  if (v === null || v === undefined) return undefined;
  if (Array.isArray(v)) return v.length ? v.join(', ') : undefined;
  return v;
}
function r8(x) { return Math.abs(x) > 1e15 || Number.isInteger(x) ? x : Number(x.toFixed(8)); }
function text(v) {
  v = scalar(v);
  if (v === undefined) return '';
  if (typeof v === 'number') {
    const s = r8(v).toFixed(8);
    return s.replace(/0+$/, '').replace(/\.$/, '').replace(/^-0$/, '0');
  }
  return String(v);
}
function number(v) {
  v = scalar(v);
  if (typeof v === 'number') return v;
  if (typeof v !== 'string' || v.length > 64) return undefined;
  return /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(v) && isFinite(Number(v)) ? Number(v) : undefined;
}
function both(a, b) {
  const x = number(a), y = number(b);
  return x === undefined || y === undefined ? undefined : [r8(x), r8(y)];
}
function same(a, b) {
  a = scalar(a); b = scalar(b);
  if (a === undefined || b === undefined) return a === b;
  const n = both(a, b);
  return n ? n[0] === n[1] : text(a) === text(b);
}
function before(a, b, orEqual) {
  a = scalar(a); b = scalar(b);
  if (a === undefined || b === undefined) return false;
  const n = both(a, b);
  return (n ? n[0] < n[1] : text(a) < text(b)) || (orEqual && same(a, b));
}

function condition(name, least, most, test) {
  Handlebars.registerHelper(name, function () {
    const args = Array.prototype.slice.call(arguments), options = args.pop();
    if (args.length < least || args.length > most) throw new Error('arguments of ' + name);
    const result = !!test.apply(null, args);
    if (options.fn) return result ? options.fn(this) : options.inverse(this);
    const chosen = result ? 'yes' : 'no';
    return chosen in options.hash ? scalar(options.hash[chosen]) : result;
  });
}
condition('and', 2, 99, function () { return Array.prototype.every.call(arguments, scalar); });
condition('or', 2, 99, function () { return Array.prototype.some.call(arguments, scalar); });
condition('not', 1, 1, function (a) { return !scalar(a); });
condition('eq', 2, 2, same);
condition('neq', 2, 2, function (a, b) { return !same(a, b); });
condition('lt', 2, 2, function (a, b) { return before(a, b, false); });
condition('lte', 2, 2, function (a, b) { return before(a, b, true); });
condition('gt', 2, 2, function (a, b) { return before(b, a, false); });
condition('gte', 2, 2, function (a, b) { return before(b, a, true); });

// A helper that cannot work with what it is given has no result, as in a lenient template.
class NoValue extends Error {}
const AS = {
  text: text,
  number: function (v) { const n = number(v); if (n === undefined) throw new NoValue(); return n; },
  integer: function (v) { const n = AS.number(v); if (!Number.isInteger(n)) throw new NoValue(); return n; },
  whole: function (v) { const n = AS.integer(v); if (n < 0) throw new NoValue(); return n; },
  flag: function (v) {
    v = scalar(v);
    if (v === true || v === 'true') return true;
    if (v === false || v === 'false') return false;
    throw new NoValue();
  },
  list: function (v) { return Array.isArray(v) ? v : [text(v)]; },
  any: scalar,
};
function helper(name, types, hash, run) {
  Handlebars.registerHelper(name, function () {
    const args = Array.prototype.slice.call(arguments), options = args.pop();
    let result;
    try {
      result = (function () {
        const given = [];
        for (let i = 0; i < types.length; i++) {
          const loose = types[i] === 'any';
          if (i >= args.length) { given.push(undefined); continue; }
          if (!loose && scalar(args[i]) === undefined) return undefined;
          given.push(AS[types[i]](args[i]));
        }
        for (const key of Object.keys(hash)) {
          if (!(key in options.hash)) { given.push(undefined); continue; }
          if (scalar(options.hash[key]) === undefined) return undefined;
          given.push(AS[hash[key]](options.hash[key]));
        }
        return run.apply(null, given);
      })();
    } catch (e) {
      if (!(e instanceof NoValue)) throw e;
    }
    if (typeof result === 'number') { if (!(Math.abs(result) <= 1e15)) result = undefined; }
    if (!options.fn) return typeof result === 'number' && text(result) !== String(result) ? new Num(result) : result;
    if (result === undefined || result === '') return options.inverse(this);
    return options.fn(result);
  });
}
// A number that keeps all its digits for other helpers and shows eight decimals.
class Num extends Number { [Symbol.toPrimitive](hint) { return hint === 'number' ? this.valueOf() : text(this.valueOf()); } }
const plainScalar = scalar;
scalar = function (v) { return v instanceof Num ? v.valueOf() : plainScalar(v); };
AS.any = scalar;

function chars(s) { return Array.from(s); }
function pad(width, sign) {
  if (width > 10000) throw new NoValue();
  if (width <= 0) return '';
  const s = chars(sign);
  let r = '';
  for (let i = 0; i < width; i++) r += s[i % s.length];
  return r;
}
function padding(name, both, left) {
  helper(name, ['text', 'whole', 'text'], { size: 'whole', pad: 'text' }, function (t, size, sign, size2, sign2) {
    size = size !== undefined ? size : size2 !== undefined ? size2 : 0;
    sign = sign || sign2 || ' ';
    const room = Math.max(0, size - chars(t).length);
    if (both) { t = pad(Math.floor(room / 2), sign) + t; return t + pad(size - chars(t).length, sign); }
    return left ? pad(room, sign) + t : t + pad(room, sign);
  });
}
padding('center', true); padding('ljust', false, false); padding('rjust', false, true);
helper('abbreviate', ['text', 'whole'], {}, function (t, n) {
  if (n < 4) throw new NoValue();
  return chars(t).length <= n ? t : chars(t).slice(0, n - 3).join('') + '...';
});
helper('capitalize', ['text'], {}, function (t) { return t.replace(/(^|\s)(\S)/g, function (_, a, b) { return a + b.toUpperCase(); }); });
helper('capitalizeFirst', ['text'], {}, function (t) { const c = chars(t); return c.length ? c[0].toUpperCase() + c.slice(1).join('') : ''; });
helper('lower', ['text'], {}, function (t) { return t.toLowerCase(); });
helper('upper', ['text'], {}, function (t) { return t.toUpperCase(); });
helper('cut', ['text', 'text'], {}, function (t, w) { w = w === undefined ? ' ' : w; return w ? t.split(w).join('') : t; });
helper('replace', ['text', 'text', 'text'], {}, function (t, a, b) { return a ? t.split(a).join(b) : t; });
helper('slugify', ['text'], {}, function (t) {
  return t.normalize('NFKD').replace(/\p{Mn}/gu, '').normalize('NFC').toLowerCase()
    .replace(/[^\p{L}\p{N}_\s-]/gu, '').replace(/[-\s]+/g, '-').replace(/^[-_]+|[-_]+$/g, '');
});
helper('stripTags', ['text'], {}, function (t) { return t.replace(/<[^>]*>/g, ''); });
helper('substring', ['text', 'whole', 'whole'], {}, function (t, a, b) { return chars(t).slice(a, b).join(''); });
helper('join', ['list', 'text'], { prefix: 'text', suffix: 'text' }, function (l, s, a, b) { return (a || '') + l.join(s) + (b || ''); });
helper('inflect', ['number', 'text', 'text'], { includeCount: 'flag' }, function (n, one, many, count) {
  const w = n === 1 ? one : many;
  return count ? text(n) + ' ' + w : w;
});
helper('ordinalize', ['integer'], {}, function (n) {
  const last = Math.abs(n) % 100;
  const end = last >= 11 && last <= 13 ? 'th' : { 1: 'st', 2: 'nd', 3: 'rd' }[last % 10] || 'th';
  return n + end;
});
helper('yesno', ['any'], { yes: 'text', no: 'text', maybe: 'text' }, function (v, yes, no, maybe) {
  if (v === undefined) return maybe === undefined ? 'maybe' : maybe;
  const off = !v || v === 'false' || v === '0';
  return off ? (no === undefined ? 'no' : no) : yes === undefined ? 'yes' : yes;
});
helper('add', ['number', 'number'], {}, function (a, b) { return a + b; });
helper('subtract', ['number', 'number'], {}, function (a, b) { return a - b; });
helper('multiply', ['number', 'number'], {}, function (a, b) { return a * b; });
helper('divide', ['number', 'number'], {}, function (a, b) { if (b === 0) throw new NoValue(); return a / b; });
helper('modulo', ['number', 'number'], {}, function (a, b) { if (b === 0) throw new NoValue(); return a % b; });
helper('ceiling', ['number'], {}, Math.ceil);
helper('floor', ['number'], {}, Math.floor);
helper('round', ['number'], {}, Math.round);

// -- entry points -----------------------------------------------------------------------------------------------------

function lists(v) {
  if (Array.isArray(v)) { v.toString = function () { return this.join(', '); }; return v; }
  if (v && typeof v === 'object') for (const k of Object.keys(v)) v[k] = lists(v[k]);
  return v;
}
function render(template, data, html) {
  try {
    const run = Handlebars.compile(template, { compat: true, noEscape: !html });
    return JSON.stringify({ text: run(lists(JSON.parse(data))) });
  } catch (e) {
    return JSON.stringify({ error: String(e.message) });
  }
}

function call(node) {
  return { target: expression(node.path || node.name), arguments: node.params.map(expression), options: hash(node.hash) };
}
function hash(h) { return h ? h.pairs.map(function (p) { return [p.key, expression(p.value)]; }) : []; }
function expression(e) {
  switch (e.type) {
    case 'PathExpression': return { path: e.parts, depth: e.depth, data: !!e.data };
    case 'SubExpression': return { call: call(e) };
    case 'NullLiteral': case 'UndefinedLiteral': return { literal: null };
    default: return { literal: e.value };
  }
}
function program(p) { return p ? p.body.map(node) : null; }
function node(n) {
  switch (n.type) {
    case 'ContentStatement': return ['text', n.value];
    case 'CommentStatement': return ['comment'];
    case 'MustacheStatement': return ['value', call(n), n.escaped];
    case 'PartialStatement': return ['partial', String(n.name.original), call(n), n.indent];
    case 'BlockStatement': {
      const first = n.program && n.program.blockParams ? n.program : n.inverse;
      return ['block', call(n), (first && first.blockParams) || [], program(n.program), program(n.inverse)];
    }
    case 'DecoratorBlock': return ['inline', call(n), program(n.program)];
    default: return ['other', n.type];
  }
}
function tree(template) {
  try {
    return JSON.stringify({ tree: program(Handlebars.parse(template)) });
  } catch (e) {
    return JSON.stringify({ error: String(e.message) });
  }
}
